//! A text as its statements: split at each `;` that stands in no string, name or comment.

use crate::mistake::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

/// The statements of a text. The last one may lack its `;`. What cannot be read to its end is one statement with the rest.
pub fn statements(file: Option<&str>, text: &str) -> Vec<Statement> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut statements = Vec::new();
    // Line and column, from 0, of what is not yet in a statement.
    let mut start = (0, 0);
    let mut take = |start: &mut (usize, usize), end: (usize, usize), next: (usize, usize)| {
        let text = cut(&lines, *start, end);
        let blank = text.chars().take_while(|c| c.is_whitespace());
        let (mut line, mut column) = *start;
        for c in blank {
            (line, column) = if c == '\n' { (line + 1, 0) } else { (line, column + 1) };
        }
        if !text.trim().is_empty() {
            statements.push(Statement {
                file: file.map(str::to_owned),
                text: text.trim().to_owned(),
                first_line: line + 1,
                first_column: column + 1,
            });
        }
        *start = next;
    };
    let at = |line: u64, column: u64| ((line.max(1) - 1) as usize, (column.max(1) - 1) as usize);
    for token in tokens(text) {
        if token.token == Token::SemiColon {
            let (from, to) = (token.span.start, token.span.end);
            take(&mut start, at(from.line, from.column), at(to.line, to.column));
        }
    }
    take(&mut start, (lines.len(), 0), (lines.len(), 0));
    // Comments alone are no statement.
    statements.retain(|statement| !is_blank(&statement.text));
    statements
}

/// Whether a text, as far as it goes, ends a statement: nothing is open and `;` comes last.
pub fn is_complete(text: &str) -> bool {
    let mut found = Vec::new();
    let whole = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut found).is_ok();
    let last = found.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
    whole && last.is_none_or(|last| last.token == Token::SemiColon)
}

/// Whether there is nothing but blanks, comments and `;`.
pub fn is_blank(text: &str) -> bool {
    let mut found = Vec::new();
    let whole = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut found).is_ok();
    whole && found.iter().all(|token| matches!(token.token, Token::Whitespace(_) | Token::SemiColon))
}

/// The words and signs of a text; none when it ends inside a string, a name or a comment.
pub fn words(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut found).ok()?;
    let comment = matches!(found.last().map(|token| &token.token), Some(Token::Whitespace(Whitespace::SingleLineComment { comment, .. })) if !comment.ends_with('\n'));
    let words = found.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    (!comment).then(|| words.map(|token| token.token.to_string()).collect())
}

/// The words and signs of a text, as far as it can be read.
pub(crate) fn tokens(text: &str) -> Vec<TokenWithSpan> {
    let mut found = Vec::new();
    // An open string or comment ends what can be read; what came before it counts.
    let _ = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut found);
    found
}

/// How many operators and brackets stand on one another at the most, as far as the signs tell: what reads and plans a
/// statement goes so deep. What stands beside one another, with a comma between, does not count.
pub(crate) fn depth(text: &str) -> usize {
    /// Of what is open: operators since the last comma, and queries put together.
    #[derive(Default)]
    struct Level {
        operators: usize,
        queries: usize,
    }
    const OPERATORS: &[&str] =
        &["AND", "OR", "NOT", "CASE", "WHEN", "ELSE", "IS", "LIKE", "ILIKE", "BETWEEN", "COLLATE"];
    const QUERIES: &[&str] = &["UNION", "INTERSECT", "EXCEPT", "JOIN"];
    // The level at hand, those around it, and what stands on one another in these.
    let (mut level, mut around, mut below, mut most) = (Level::default(), Vec::<Level>::new(), 0, 0);
    for token in tokens(text) {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                below += level.operators + level.queries + 1;
                around.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if let Some(outer) = around.pop() {
                    level = outer;
                    below -= level.operators + level.queries + 1;
                }
            }
            Token::Comma => level.operators = 0,
            Token::SemiColon => (level, around, below) = (Level::default(), Vec::new(), 0),
            Token::Word(word) if word.quote_style.is_none() => {
                let word = word.value.to_uppercase();
                level.operators += usize::from(OPERATORS.contains(&word.as_str()));
                level.queries += usize::from(QUERIES.contains(&word.as_str()));
            }
            Token::Whitespace(_)
            | Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::EOF => {}
            _ => level.operators += 1,
        }
        most = most.max(below + level.operators + level.queries);
    }
    most
}

fn cut(lines: &[&str], from: (usize, usize), to: (usize, usize)) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate().skip(from.0).take((to.0 + 1).saturating_sub(from.0)) {
        let first = if number == from.0 { from.1 } else { 0 };
        let end = if number == to.0 { to.1 } else { usize::MAX };
        text.extend(line.chars().skip(first).take(end.saturating_sub(first)));
        if number < to.0 {
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        statements(None, text).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_statement_is_as_deep_as_its_operators_stand_on_one_another() {
        assert_eq!(depth("select a, b from t"), 0);
        assert_eq!(depth("select 1 + 2 + 3, 4 + 5"), 2);
        assert_eq!(depth(&format!("select {}1", "- ".repeat(10))), 10);
        assert_eq!(depth("select ((1 + 2) * 3), f(g(h(1 + 2)))"), 4);
        assert_eq!(depth("select 1 where a = 1 and not b = 2"), 4);
        assert_eq!(depth("select 1, 2 union select 3, 4 union all select 5, 6"), 2);
        assert_eq!(depth(&format!("select 1 where a in ({})", vec!["1"; 10_000].join(", "))), 1);
        assert_eq!(depth("select ')' || \"case\" -- + + +"), 1);
        assert_eq!(depth("))))"), 0);
    }

    #[test]
    fn a_semicolon_in_a_string_a_name_or_a_comment_ends_nothing() {
        let text = "select ';' as \"a;b\" -- ;\n/* ; */ from x; select 2";
        assert_eq!(texts(text), ["select ';' as \"a;b\" -- ;\n/* ; */ from x", "select 2"]);
        assert_eq!(texts(" ;; \n -- nothing\n;"), Vec::<String>::new());
        assert_eq!(texts("select 'open; select 2"), ["select 'open; select 2"]);
    }

    #[test]
    fn a_statement_knows_where_it_begins() {
        let found = statements(Some("a.sql"), "select 1;\n\n  select 2; select é");
        let places: Vec<_> = found.iter().map(|s| (s.first_line, s.first_column)).collect();
        assert_eq!(places, [(1, 1), (3, 3), (3, 13)]);
        assert_eq!(found[2].text, "select é");
    }

    #[test]
    fn a_statement_is_complete_with_its_semicolon() {
        for whole in ["", "select 1;", "select 1; -- done", "select ';' ;\n"] {
            assert!(is_complete(whole), "{whole}");
        }
        for open in ["select 1", "select ';", "select 1 /* ;", "select \";", "select 1; select"] {
            assert!(!is_complete(open), "{open}");
        }
    }
}
