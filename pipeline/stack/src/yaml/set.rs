//! One amount in the text of one document, with the proof that nothing else of it means anything else.

use super::place::{Blocked, Writing, place, spliced};
use super::stream::{Read, Step};
use super::value::Value;

/// Why it cannot be set, and what a person can do.
pub(crate) struct Fault {
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

const BY_HAND: &str = "change it by hand";

/// The text in which `keys`, from the mapping at `from`, hold the amount, read back by `reads`.
pub(crate) fn set(
    read: &Read,
    from: &[Step],
    keys: &[&str],
    amount: &dyn Writing,
    reads: &dyn Fn(&Value) -> bool,
    parse: &dyn Fn(&str) -> Option<Read>,
) -> Result<Read, Fault> {
    let dotted = keys.join(".");
    let Some(text) = read.text(from) else {
        let what = format!("its `{dotted}` comes through an alias `*` or a merge key `<<`");
        return Err(Fault { what, hint: "write it out, or change the shared part by hand" });
    };
    let splices = place(text, keys, amount).map_err(|Blocked { what, hint }| Fault { what, hint })?;
    let path: Vec<Step> = from.iter().cloned().chain(keys.iter().map(|key| Step::Key((*key).to_owned()))).collect();
    let proven = |new: &Read| {
        let Some(written) = new.value.walk(&path).filter(|value| reads(value)) else { return false };
        let mut wanted = read.value.clone();
        wanted.put(&path, written.clone());
        wanted == new.value
    };
    let tried = splices.iter().filter_map(|splice| parse(&spliced(&read.text, std::iter::once(splice))));
    let mut tried = tried.peekable();
    let understood = tried.peek().is_some();
    tried.find(proven).ok_or_else(|| match understood {
        true => {
            Fault { what: format!("its `{dotted}` is shared, and something else would also change"), hint: BY_HAND }
        }
        false => Fault { what: "the file is laid out in a way that is not understood".to_owned(), hint: BY_HAND },
    })
}
