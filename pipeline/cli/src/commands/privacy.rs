//! `privacy`: what the lake holds of people, and how a person leaves it.

use crate::context::{Answer, Context, kept_privacy};
use crate::failure::{Exit, Failure};
use clap::{Args, Subcommand};
use domain::privacy::people_in;
use lake::Erasure;
use serde_json::json;

/// The arguments of `privacy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline privacy audit
  pipeline privacy erase --developer u-81")]
pub struct PrivacyArgs {
    #[command(subcommand)]
    command: PrivacyCommand,
}

#[derive(Debug, Subcommand)]
enum PrivacyCommand {
    /// Count the pseudonymised data about people, and search for leaks
    #[command(after_help = "\
Reads every text column of every table. Prints counts, tables and columns, never
values. If the lake's key is available, it also searches for the names of people
whom the lake stores as keyed hashes. Exits with 3 if it finds an e-mail
address, a secret, a person's name, the user name of a home directory, or an
erased person.

Examples:
  pipeline privacy audit
  pipeline privacy audit --json")]
    Audit,
    /// Erase a person from every table and every old version, irreversibly
    #[command(after_help = "\
Deletes the person's rows, replaces mentions in other rows by [erased], rebuilds
the derived tables and deletes old versions. Models trained on the rows are
marked and should be retrained. If the person's events are ingested again, they
are rejected as `erased`, without their text.
Without --yes, the command is a dry run. Run the same command again to finish an
interrupted erase. Ledger, plans and journal contain people only as keyed hashes
and are not changed.

Examples:
  pipeline privacy erase --developer u-81
  pipeline privacy erase --developer u-81 --yes")]
    Erase {
        /// The person's name as it appears in the events, or the keyed hash (u-…)
        #[arg(long, value_name = "ID")]
        developer: String,
        /// Erase the person; this cannot be undone
        #[arg(long)]
        yes: bool,
    },
}

impl PrivacyArgs {
    /// Whether a person would be taken out for good.
    pub fn erases(&self) -> bool {
        matches!(self.command, PrivacyCommand::Erase { yes: true, .. })
    }
}

/// Does what was asked.
pub async fn run(context: &Context, args: PrivacyArgs) -> Result<Answer, Failure> {
    match args.command {
        PrivacyCommand::Audit => audit(context).await,
        PrivacyCommand::Erase { developer, yes } => erase(context, &developer, yes).await,
    }
}

async fn audit(context: &Context) -> Result<Answer, Failure> {
    let lake = context.lake().await?;
    let key = match kept_privacy() {
        Some(key) if lake.is_under(&key).await? => Some(key),
        _ => None,
    };
    let mut task = context.progress.task("privacy audit");
    let audit = lake.privacy_audit(key.as_ref(), &mut |table| task.at(table)).await?;
    drop(task);
    context.say(format!("{} people, {} erased; key {}", audit.people, audit.erased, audit.key_fingerprint));
    for column in &audit.columns {
        let span = match (column.earliest, column.latest) {
            (Some(first), Some(last)) => format!(", {} to {}", first.minute(), last.minute()),
            _ => String::new(),
        };
        let name = format!("{}.{}", column.table, column.column);
        context.say_wrapped("  ", &format!("{name}: {} rows{span}", column.rows), 6);
    }
    for model in &audit.models {
        let mark = if model.needs_retraining { "has seen an erased person: train it anew" } else { "in order" };
        context.say(format!("  model {}/{}: {mark}", model.model, model.version));
    }
    for leak in &audit.leaks {
        context.say(format!(
            "FINDING {}.{}: {} rows hold an address, a secret or a home name",
            leak.table, leak.column, leak.rows
        ));
    }
    for doubt in &audit.suspicious {
        context.say(format!(
            "FINDING {}.{}: {} rows hold what looks like a secret, a name or an address, and no rule masks: look at them",
            doubt.table, doubt.column, doubt.rows
        ));
    }
    match &audit.named {
        Some(named) => named.iter().for_each(|name| {
            let place = format!("{}.{}", name.table, name.column);
            context.say(format!("FINDING {place}: {} rows name somebody whom the lake holds by hash", name.rows));
        }),
        None => context.say("  names were not looked for: that needs the lake's key"),
    }
    if audit.erased_but_found > 0 {
        context.say(format!("FINDING {} erased people are in the tables: erase them again", audit.erased_but_found));
    }
    let found = !audit.leaks.is_empty()
        || !audit.suspicious.is_empty()
        || audit.named.as_ref().is_some_and(|named| !named.is_empty())
        || audit.erased_but_found > 0;
    let json = serde_json::to_value(&audit).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    Ok(Answer::new(if found { Exit::Findings } else { Exit::Done }, json))
}

async fn erase(context: &Context, developer: &str, yes: bool) -> Result<Answer, Failure> {
    let developer = developer.trim();
    if developer.is_empty() {
        return Err(Failure::new(Exit::Usage, "--developer names nobody"));
    }
    let (lake, privacy) = context.lake_with_key().await?;
    let is_hash = people_in(developer).next() == Some(developer);
    let hash = if is_hash { developer.to_owned() } else { privacy.person(developer) };
    let mut task = context.progress.task("privacy erase");
    let erasure = lake.erase(&hash, &privacy, context.now, yes, &mut |table| task.at(table)).await?;
    drop(task);
    tell(context, &erasure);
    if erasure.files_left > 0 {
        let what = format!("{} files of no version were written in the last 15 minutes", erasure.files_left);
        return Err(Failure::new(Exit::Refused, format!("{what}; everything else is erased"))
            .hint("another process may be writing: when it has ended, or after 15 minutes, erase again"));
    }
    let json = json!({
        "person": hash,
        "done": erasure.done,
        "rows_removed": erasure.tables.iter().map(|table| table.rows_removed).sum::<u64>(),
        "rows_changed": erasure.tables.iter().map(|table| table.rows_changed).sum::<u64>(),
        "tables": erasure.tables,
        "models": erasure.models,
        "files_deleted": erasure.files_deleted,
        "log_entries": erasure.log_entries,
    });
    Ok(Answer::done(json))
}

fn tell(context: &Context, erasure: &Erasure) {
    for table in &erasure.tables {
        let what = if table.rebuilt {
            format!("{} rows, rebuilt without", table.rows_changed)
        } else {
            format!("{} rows removed, {} without the mention", table.rows_removed, table.rows_changed)
        };
        context.say(format!("{:<28} {what}", table.table));
    }
    if erasure.tables.is_empty() {
        context.say("0 rows: the tables hold nothing of this person");
    }
    for model in &erasure.models {
        context.say(format!(
            "model {}/{} has seen the rows: `pipeline train {}`",
            model.model, model.version, model.model
        ));
    }
    if erasure.done {
        let log = erasure.log_entries;
        context.say(format!("{} files of old versions deleted, {log} log entries cleaned", erasure.files_deleted));
    } else {
        context.say("nothing was changed; `--yes` does it, and there is no way back");
    }
}
