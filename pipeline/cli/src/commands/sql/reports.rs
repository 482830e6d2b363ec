//! The reports of `sql/reports`, and files of one's own: what they are, what they take.

use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use lake::{Declared, Statement, statements};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::path::Path;

/// The statements of a file or a report, and the parameters that its head declares.
pub fn read(file: &str) -> Result<(Vec<Statement>, Vec<Declared>), Failure> {
    let reports = lake::sql_files("reports");
    let report = reports.iter().find(|report| report.name.table == file);
    let (path, text) = match report {
        Some(report) => (report.path(), report.text.clone()),
        None if file == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().read_to_string(&mut text);
            read.map_err(|e| Failure::new(Exit::Failed, format!("cannot read standard input: {e}")))?;
            ("standard input".to_owned(), text)
        }
        None => {
            let text = fs::read_to_string(file).map_err(|error| {
                let names: Vec<_> = reports.iter().map(|report| report.name.table.as_str()).collect();
                Failure::file("read", Path::new(file), &error).hint(format!("the reports are {}", names.join(", ")))
            })?;
            (file.to_owned(), text)
        }
    };
    let declared = Declared::read(&text).map_err(|problem| Failure::new(Exit::Usage, format!("{path}: {problem}")))?;
    Ok((statements(Some(&path), &text), declared))
}

/// Prints every report with its first sentence and its parameters.
pub fn list(context: &Context) -> Result<Answer, Failure> {
    let mut reports = Vec::new();
    for report in lake::sql_files("reports") {
        let declared = Declared::read(&report.text);
        let declared =
            declared.map_err(|problem| Failure::new(Exit::Failed, format!("{}: {problem}", report.path())))?;
        let head = report.head();
        let about = head.split(" Parameter ").next().unwrap_or_default();
        let about = about.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned();
        context.say(&report.name.table);
        context.say_wrapped("    ", &about, 4);
        for parameter in &declared {
            context.say(format!("    --param {}", described(parameter)));
        }
        let parameters = declared.iter().map(|parameter| {
            let required = parameter.default.is_none();
            let default = parameter.default.clone().flatten();
            json!({"name": parameter.name, "type": parameter.kind.name(), "required": required, "default": default})
        });
        let parameters: Vec<_> = parameters.collect();
        reports.push(json!({"name": report.name.table, "about": about, "parameters": parameters}));
    }
    Ok(Answer::done(json!({"reports": reports})))
}

/// A parameter in one line: `top=INTEGER, else 20`.
pub fn described(parameter: &Declared) -> String {
    let place = format!("{}={}", parameter.name, parameter.kind.name().to_uppercase());
    match &parameter.default {
        None => format!("{place} (must be given)"),
        Some(None) => format!("{place}, else all"),
        Some(Some(value)) => format!("{place}, else {value}"),
    }
}
