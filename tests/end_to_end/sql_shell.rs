//! The shell on a real terminal: what is typed, what stands on the screen.

use crate::program::{Place, checkout};
use crate::terminal::{Terminal, screen_of};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn place() -> Place {
    let place = Place::new();
    place.ingest(&[&checkout().join("tests/sql/marts/runs/given").display().to_string()]);
    place.json(&["materialize"]);
    place
}

/// The shell with a home of its own.
fn shell(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.command(&[&["sql"], arguments].concat());
    command.env("HOME", place.path("home")).env("PAGER", "cat").env_remove("XDG_STATE_HOME").env_remove("NO_COLOR");
    command
}

#[test]
fn a_statement_has_lines_a_history_and_an_answer() {
    let place = place();
    let mut command = shell(&place, &[]);
    command.env("EDITOR", "sed -i 's/41/51/'").env_remove("VISUAL");
    let mut terminal = Terminal::start(&command, 24, 80);
    terminal.see("\\? for help");
    terminal.ready();
    terminal.press("select 41 + 1\r  as answer,\r  null as nothing, '' as blank;\r");
    let shown = terminal.see("(1 row");
    assert!(shown.contains("    42  NULL"), "{shown}");
    assert!(shown.contains(" ms)"), "timing: {shown}");
    let shown = terminal.line("select nope from marts.runs;");
    assert!(shown.contains("there is no column nope") && shown.contains("^^^^"), "{shown}");
    // Up, up: the statement with its lines, to be run again.
    terminal.press("\x0c\x1b[A\x1b[A");
    terminal.see("as answer,");
    terminal.press("\r");
    terminal.see("(1 row");
    // The editor has the last one, and what it leaves waits to be run.
    terminal.ready();
    terminal.press("\\e\r");
    terminal.see("select 51 + 1");
    terminal.press("\r");
    terminal.see("    52  NULL");
    terminal.ready();
    terminal.press("\x04");
    assert_eq!(terminal.end(), 0);
    let history = place.path("home/.local/state/pipeline/sql_history");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&history), mode(history.parent().unwrap())), (0o600, 0o700));
    // The next shell remembers.
    let mut terminal = Terminal::start(&shell(&place, &[]), 24, 80);
    terminal.ready();
    terminal.press("\x1b[A");
    terminal.see("as answer,");
    terminal.press("\x03");
    terminal.ready();
    terminal.press("\\q\r");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn ctrl_c_stops_the_query_and_clears_the_line_but_not_the_shell() {
    let place = place();
    let mut terminal = Terminal::start(&shell(&place, &[]), 24, 80);
    terminal.ready();
    terminal
        .press("select sum(a.value * b.value) from generate_series(1, 1000000) a, generate_series(1, 1000000) b;\r");
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal.press("\x03");
    terminal.see("stopped after");
    // It is over: the next answer comes at once, though the query would have taken hours.
    let began = std::time::Instant::now();
    assert!(terminal.line("select 5 * 5 as answer;").contains("    25\n"));
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    terminal.press("select something that is not");
    terminal.see("is not");
    terminal.press("\x03");
    let shown = terminal.line("select 6 * 7 as answer;");
    assert!(shown.contains("    42\n"), "{shown}");
    terminal.press("\x04");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn tab_completes_tables_columns_and_commands() {
    let place = place();
    let mut terminal = Terminal::start(&shell(&place, &[]), 30, 100);
    terminal.ready();
    for (typed, becomes) in [
        ("select * from marts.pr_m\t", "select * from marts.pr_metrics"),
        ("select * from staging.ev\t", "select * from staging.events"),
        ("select r.event_i\t", "select r.event_i"), // no table yet
        ("select x from marts.runs r where r.duration_m\t", "where r.duration_ms"),
        ("select x from marts.runs where duration_m\t", "where duration_ms"),
        ("selec\t", "select "),
        ("SELEC\t", "SELECT "),
        ("\\timin\t", "\\timing "),
        ("\\d traces.tr\t", "\\d traces.traces"),
        ("select 'from marts.ru\t", "select 'from marts.ru"),
    ] {
        terminal.press(typed);
        let shown = terminal.wait(becomes, |shown| {
            shown.lines().next_back().is_some_and(|l| l.trim_end().ends_with(becomes.trim_end()))
        });
        assert!(!shown.is_empty());
        terminal.press("\x03");
        terminal.ready();
        terminal.press("\x0c");
        terminal.wait("an empty line", |shown| shown.trim() == "sql>");
    }
    // Before the table is written, its columns follow from what stands behind the cursor.
    terminal.press("select  from marts.runs\x1b[H");
    terminal.press(&"\x1b[C".repeat("select ".len()));
    terminal.press("job_k\t");
    terminal.see("select job_key from marts.runs");
}

#[test]
fn the_tables_their_columns_and_the_settings_have_commands() {
    let place = place();
    let mut terminal = Terminal::start(&shell(&place, &[]), 40, 100);
    let shown = terminal.line("\\d");
    assert!(shown.lines().any(|line| line.starts_with("marts.runs ") && line.contains(" columns")), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("features.runs ") && line.contains("view")), "{shown}");
    assert!(!terminal.line("\\dt").contains("view"), "tables alone");
    let shown = terminal.line("\\d staging.rejects");
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["line", "bigint", "not", "null"])), "{shown}");
    assert!(terminal.line("\\d marts.nothing").contains("the lake has no table marts.nothing"));
    assert!(terminal.line("\\timing off").contains("off"));
    assert!(!terminal.line("select 1 as x;").contains(" ms)"));
    terminal.line("\\x on");
    assert!(terminal.line("select 1 as x;").contains("── 1 ──"));
    terminal.line("\\x off");
    assert!(terminal.line("\\set repo acme/api").contains("sql>"));
    assert!(terminal.line("select $repo as r;").contains("acme/api"));
    terminal.line("\\o out.csv");
    let shown = terminal.line("select 1 as a, 'x' as b;");
    assert!(shown.contains("out.csv (1 row"), "{shown}");
    assert_eq!(place.read("out.csv"), "a,b\n1,x\n");
    assert!(terminal.line("select 7 as a;").contains("(1 row)"), "one result only went to the file");
    place.write("mine.sql", "select 'from a file' as f;\nselect nope;\nselect 3;");
    let shown = terminal.line("\\i mine.sql");
    assert!(shown.contains("from a file") && shown.contains("mine.sql:2:8"), "{shown}");
    assert!(terminal.line("\\nope").contains("there is no command"));
    let shown = terminal.line("\\at staging.events@0");
    assert!(shown.contains("sql@staging.events@0>"), "{shown}");
    assert!(terminal.line("\\?").contains("\\timing"));
    terminal.press("\\q\r");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn what_is_taller_than_the_terminal_goes_through_the_pager_and_the_cap_is_said() {
    let place = place();
    let mut command = shell(&place, &["--max-rows", "40"]);
    command.env("PAGER", "sed 's/^/paged: /' | tail -3");
    let mut terminal = Terminal::start(&command, 20, 80);
    let shown = terminal.line("select value from generate_series(1, 100000) order by value;");
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["paged:", "40"])), "{shown}");
    assert!(shown.contains("paged: (40 rows shown, there are more"), "{shown}");
    assert!(!terminal.line("select value from generate_series(1, 3);").contains("paged"));
}

#[test]
fn a_result_keeps_within_the_terminal_and_cannot_command_it() {
    let place = place();
    let query = "select * from (values ('日本語のとても長い文字列です、そしてもっと長い', 1), (chr(27) || '[31mred' || chr(155) || '2J', null)) t(some_text, n), \
                 (select repeat('word ', 8) as filler);";
    for columns in [80, 200] {
        let mut terminal = Terminal::start(&shell(&place, &[]), 40, columns);
        let shown = terminal.line(query);
        assert!(shown.contains("\\x1b[31mred\\u{9b}2J"), "{shown}");
        let rule = shown.lines().find(|line| line.starts_with("───")).unwrap();
        assert!(rule.chars().count() <= usize::from(columns), "{rule}");
        assert!(shown.contains('…') == (columns == 80), "{columns}: {shown}");
        // The numbers stand right, also behind wide characters.
        let column = |text: &str| {
            let line = shown.lines().rfind(|line| line.contains(text)).unwrap();
            vt_width(line.split("  word").next().unwrap().trim_end())
        };
        assert_eq!(column("日本"), column("NULL"), "{shown}");
        let shown = terminal.line("select * from staging.events limit 1;");
        assert!(shown.contains("(1 row"), "{shown}");
        assert!(shown.lines().all(|line| vt_width(line) <= usize::from(columns)), "{shown}");
    }
}

/// Columns of a text, by a terminal's own count.
fn vt_width(text: &str) -> usize {
    let mut parser = screen_of(1, 500);
    parser.process(text.as_bytes());
    usize::from(parser.screen().cursor_position().1)
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = place();
    let dim = |no_color: bool| {
        let mut command = place.command(&["sql", "select null as n"]);
        command.env_remove("NO_COLOR");
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let terminal = Terminal::start(&command, 20, 80);
        terminal.see("(1 row");
        let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
        bytes.contains("\u{1b}[")
    };
    assert!(dim(false) && !dim(true));
    assert!(!place.run(&["sql", "select null as n"]).out.contains('\u{1b}'), "a pipe");
}
