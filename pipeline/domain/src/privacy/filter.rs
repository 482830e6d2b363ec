//! Which rules a text could need, in one fast pass: almost no text needs any.
//!
//! Each pair of neighbouring bytes, small letters and capitals alike, is looked up in a table that says which of some
//! sixty short needles it could begin or go on; a hit is compared with the word it stands for and with what is around
//! it. This is Teddy (Hyperscan) without SIMD: whole pairs instead of half bytes leave so few false hits that it is
//! faster here, where texts are short and needles many. The filter may send a clean text to the rules, but never keeps
//! a text from a rule that would change it.

/// E-mail addresses, mentions, logins in URLs.
pub(super) const AT: u16 = 1;
/// Tokens told by their form.
pub(super) const FORM: u16 = 2;
/// `password=…` and its like.
pub(super) const ASSIGNED: u16 = 4;
/// Options of programs.
pub(super) const OPTION: u16 = 8;
/// `Authorization:` and its like.
pub(super) const HEADER: u16 = 16;
/// Home folders.
pub(super) const HOME: u16 = 32;
/// Names in commit messages and objects.
pub(super) const TRAILER: u16 = 64;
/// `login … password …`
pub(super) const NETRC: u16 = 128;
/// All of them.
pub(super) const ALL: u16 = 255;

/// What must be around a word.
#[derive(Clone, Copy)]
enum Around {
    /// Anything.
    Any,
    /// No letter, digit or `_` before it and at least eight after it, exactly as written.
    Start,
    /// A separator and a value after the whole name, or a dash before it.
    Key,
    /// A blank, or a colon.
    Line,
    /// As `Line`, and no letter, digit or `_` before it.
    Word,
    /// A slash before and after.
    Folder,
}

/// (needle, the word it stands for, where in the word it begins, rules, what must be around)
type Needle = (&'static str, &'static str, usize, u16, Around);

/// Looked for by their first three bytes.
const NEEDLES: &[Needle] = &[
    ("ssw", "passw", 2, ASSIGNED | OPTION, Around::Key),
    ("phr", "passphrase", 4, ASSIGNED | OPTION, Around::Key),
    ("pwd", "pwd", 0, ASSIGNED, Around::Key),
    ("ecr", "secret", 1, ASSIGNED | OPTION, Around::Key),
    ("tok", "token", 0, ASSIGNED | OPTION, Around::Key),
    ("key", "key", 0, ASSIGNED | OPTION, Around::Key),
    ("ede", "credential", 2, ASSIGNED, Around::Key),
    ("_pa", "_pass", 0, ASSIGNED, Around::Key),
    ("sig", "sig", 0, ASSIGNED, Around::Key),
    ("-pa", "-pass", 0, OPTION, Around::Any),
    ("-au", "-auth", 0, OPTION, Around::Any),
    ("-u ", "-u ", 0, OPTION, Around::Any),
    ("-u=", "-u=", 0, OPTION, Around::Any),
    ("-us", "-user", 0, OPTION, Around::Any),
    ("mys", "mysql", 0, OPTION, Around::Any),
    ("iad", "mariadb", 3, OPTION, Around::Any),
    ("shp", "sshpass", 1, OPTION, Around::Any),
    ("s-c", "redis-cli", 4, OPTION, Around::Any),
    ("gin", "login", 2, OPTION | NETRC, Around::Word),
    ("riz", "authoriz", 5, HEADER, Around::Any),
    ("kie", "cookie", 3, HEADER, Around::Any),
    ("rer", "bearer", 3, HEADER, Around::Line),
    ("sic", "basic", 2, HEADER, Around::Line),
    ("-by", "-by:", 0, TRAILER, Around::Any),
    ("hor", "author", 3, TRAILER, Around::Line),
    ("itt", "committer", 4, TRAILER, Around::Line),
    ("agg", "tagger", 1, TRAILER, Around::Line),
    ("hom", "home", 0, HOME, Around::Folder),
    ("ers", "users", 2, HOME, Around::Folder),
    ("nd s", "and settings", 1, HOME, Around::Any),
    ("%40", "%40", 0, AT, Around::Any),
    ("u004", "u0040", 0, AT, Around::Any),
    ("＠", "＠", 0, AT, Around::Any),
    ("-beg", "-BEGIN ", 0, FORM, Around::Any),
    ("akia", "AKIA", 0, FORM, Around::Start),
    ("asia", "ASIA", 0, FORM, Around::Start),
    ("ghp_", "ghp_", 0, FORM, Around::Start),
    ("gho_", "gho_", 0, FORM, Around::Start),
    ("ghu_", "ghu_", 0, FORM, Around::Start),
    ("ghs_", "ghs_", 0, FORM, Around::Start),
    ("ghr_", "ghr_", 0, FORM, Around::Start),
    ("hub_pa", "github_pat_", 3, FORM, Around::Start),
    ("dckr_", "dckr_pat_", 0, FORM, Around::Start),
    ("glpat", "glpat-", 0, FORM, Around::Start),
    ("gldt-", "gldt-", 0, FORM, Around::Start),
    ("glrt-", "glrt-", 0, FORM, Around::Start),
    ("xox", "xox", 0, FORM, Around::Start),
    ("sk-", "sk-", 0, FORM, Around::Start),
    ("npm_", "npm_", 0, FORM, Around::Start),
    ("k_liv", "k_live_", 0, FORM, Around::Any),
    ("k_tes", "k_test_", 0, FORM, Around::Any),
    ("aiza", "AIza", 0, FORM, Around::Start),
    ("hf_", "hf_", 0, FORM, Around::Start),
    ("sg.", "SG.", 0, FORM, Around::Start),
    ("pypi-", "pypi-", 0, FORM, Around::Start),
    ("eyj", "eyJ", 0, FORM, Around::Start),
    ("ya29.", "ya29.", 0, FORM, Around::Start),
    ("gocsp", "GOCSPX-", 0, FORM, Around::Start),
    ("dapi", "dapi", 0, FORM, Around::Start),
    ("hvs.", "hvs.", 0, FORM, Around::Start),
    ("whsec", "whsec_", 0, FORM, Around::Start),
    ("glsa_", "glsa_", 0, FORM, Around::Start),
    ("ks.sl", "hooks.slack.com", 3, FORM, Around::Any),
];

/// What may stand before `key` in the name of a secret.
pub(super) const KEYS: &[&str] = &[
    "api",
    "access",
    "private",
    "account",
    "client",
    "shared",
    "secret",
    "signing",
    "encryption",
    "master",
    "auth",
    "ssh",
    "storage",
    "deploy",
    "service",
    "host",
];

/// Needles are spread over the bits of a byte.
const BUCKETS: usize = 8;

/// Small letter and capital are one class, and so is everything that is in no needle.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let (mut next, mut needle) = (1, 0);
    while needle < NEEDLES.len() {
        let mut at = 0;
        while at < 3 {
            let byte = NEEDLES[needle].0.as_bytes()[at];
            if classes[byte as usize] == 0 {
                classes[byte as usize] = next;
                classes[byte.to_ascii_uppercase() as usize] = next;
                next += 1;
            }
            at += 1;
        }
        needle += 1;
    }
    assert!(next as usize <= CLASS_COUNT);
    classes
}

const CLASS_COUNT: usize = 64;

/// For two neighbouring classes: in the low byte the buckets of needles that begin so, in the high byte of those that
/// go on so.
static PAIRS: [u16; CLASS_COUNT * CLASS_COUNT] = {
    let mut pairs = [0; CLASS_COUNT * CLASS_COUNT];
    let classes = classes();
    let mut needle = 0;
    while needle < NEEDLES.len() {
        let bytes = NEEDLES[needle].0.as_bytes();
        let (a, b, c) = (classes[bytes[0] as usize], classes[bytes[1] as usize], classes[bytes[2] as usize]);
        pairs[pair(a, b)] |= 1 << (needle % BUCKETS);
        pairs[pair(b, c)] |= 1 << (needle % BUCKETS + 8);
        needle += 1;
    }
    pairs
};

const fn pair(a: u8, b: u8) -> usize {
    (a as usize % CLASS_COUNT) * CLASS_COUNT + b as usize % CLASS_COUNT
}

/// The rules that `text` could need; 0 for almost every text.
///
/// It may also be asked about the raw JSON line that a text stands in, as long as that has no `\u`: other escapes never
/// hide anything from it.
pub(super) fn rules_for(text: &[u8]) -> u16 {
    let mut found = if at_signs(text) { AT } else { 0 };
    let (mut before, mut begun) = (0, 0);
    let mut step = |byte: u8| {
        let class = CLASSES[usize::from(byte)];
        let buckets = PAIRS[pair(before, class)];
        let hit = begun & (buckets >> 8);
        (before, begun) = (class, buckets & 0xff);
        hit
    };
    // Four bytes with one branch: there is hardly ever a hit.
    let (words, rest) = text.as_chunks::<4>();
    for (index, word) in words.iter().enumerate() {
        let hits = word.map(&mut step);
        if hits != [0; 4] {
            for (hit, at) in hits.into_iter().zip(index * 4..).filter(|(hit, _)| *hit != 0) {
                look(text, at - 2, hit, &mut found);
            }
            if found == ALL {
                return found;
            }
        }
    }
    for (byte, at) in rest.iter().zip(words.len() * 4..) {
        let hit = step(*byte);
        if hit != 0 {
            look(text, at - 2, hit, &mut found);
        }
    }
    found
}

/// Looks closer at a place where needles of some buckets could begin.
#[cold]
fn look(text: &[u8], at: usize, mut buckets: u16, found: &mut u16) {
    while buckets != 0 {
        let bucket = buckets.trailing_zeros() as usize;
        for (needle, word, offset, rules, around) in NEEDLES.iter().skip(bucket).step_by(BUCKETS) {
            if rules & !*found != 0
                && text[at..at + 3].eq_ignore_ascii_case(&needle.as_bytes()[..3])
                && confirmed(text, at, word.as_bytes(), *offset, *around)
            {
                *found |= rules;
            }
        }
        buckets &= buckets - 1;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a word that ends before `at` ends there: in raw JSON the letter of `\n` is no part of it.
fn starts(text: &[u8], at: usize) -> bool {
    match text[..at] {
        [] => true,
        [.., b'\\', _] => true,
        [.., before] => !is_word(before),
    }
}

fn confirmed(text: &[u8], hit: usize, word: &[u8], offset: usize, around: Around) -> bool {
    let Some(start) = hit.checked_sub(offset) else { return false };
    let Some(there) = text.get(start..start + word.len()) else { return false };
    let exact = matches!(around, Around::Start);
    if !(if exact { there == word } else { there.eq_ignore_ascii_case(word) }) {
        return false;
    }
    let rest = &text[start + word.len()..];
    match around {
        Around::Any => true,
        Around::Start => starts(text, start) && rest.iter().take_while(|b| is_word(**b) || **b == b'-').count() >= 8,
        Around::Key if word == b"key" => {
            let before = text[..start].strip_suffix(b"_").or(text[..start].strip_suffix(b"-"));
            let before = before.unwrap_or(&text[..start]);
            let named = |name: &&str| {
                before.len() >= name.len() && before[before.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes())
            };
            KEYS.iter().any(named) && valued(text, start, rest)
        }
        Around::Key => valued(text, start, rest),
        Around::Word if !starts(text, start) => false,
        Around::Line | Around::Word => matches!(rest.first(), Some(b' ' | b'\t' | b':' | b'\\' | b'\n' | b'\r')),
        Around::Folder => {
            let slash = |b: Option<&u8>| matches!(b, Some(b'/' | b'\\' | b'%'));
            let before = &text[..start];
            let open =
                slash(before.last()) || before.ends_with_ignore_case(b"2f") || before.ends_with_ignore_case(b"5c");
            slash(rest.first()) && open && (there != b"users" || on_drive(before))
        }
    }
}

/// How far a path is followed back from a home folder.
pub(super) const PATH_WINDOW: usize = 256;

/// The part of a path that `before` ends with.
pub(super) fn path_before(before: &[u8]) -> &[u8] {
    let in_path = |b: &&u8| {
        let sign = matches!(**b, b'/' | b'\\' | b'.' | b'_' | b'-' | b'+' | b'%' | b'$' | b':');
        sign || b.is_ascii_alphanumeric() || **b >= 0x80
    };
    &before[before.len() - before.iter().rev().take(PATH_WINDOW).take_while(in_path).count()..]
}

/// Whether a path is on a drive: `c:/`, `/mnt/c/`, encoded or not. Elsewhere, `/users/` is a route, not `/Users/`.
pub(super) fn on_drive(before: &[u8]) -> bool {
    let path = path_before(before);
    let bare = &path[..path.len() - path.iter().rev().take_while(|b| matches!(b, b'/' | b'\\')).count()];
    let letter = matches!(bare, [.., b'/', letter] if letter.is_ascii_alphabetic());
    letter || path.len() == PATH_WINDOW || path.iter().any(|b| matches!(b, b':' | b'%'))
}

trait EndsWith {
    fn ends_with_ignore_case(&self, end: &[u8]) -> bool;
}

impl EndsWith for [u8] {
    fn ends_with_ignore_case(&self, end: &[u8]) -> bool {
        self.len() >= end.len() && self[self.len() - end.len()..].eq_ignore_ascii_case(end)
    }
}

/// How far is looked around a word; beyond, the answer is yes.
const WINDOW: usize = 128;

/// Whether a name that goes on in `rest` has a value after it, or is an option.
fn valued(text: &[u8], start: usize, rest: &[u8]) -> bool {
    // `--db-password x`: a dash before any part of the name.
    let name = text[..start].iter().rev().take(WINDOW);
    let length = name.clone().take_while(|b| is_word(**b) || **b == b'-').count();
    if length == WINDOW || name.take(length).any(|b| *b == b'-') {
        return true;
    }
    let window = &rest[..rest.len().min(WINDOW)];
    let mut after = window.iter().skip_while(|b| is_word(**b) || **b == b'-');
    match after.find(|b| !matches!(b, b'"' | b'\'' | b'`' | b']' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)) {
        // In raw JSON a backslash could be a blank.
        Some(byte) => matches!(byte, b'=' | b':' | b'\\'),
        None => window.len() < rest.len(),
    }
}

/// Whether an `@` could be part of an address, a mention or a login.
fn at_signs(text: &[u8]) -> bool {
    let mut scheme = None;
    memchr::memchr_iter(b'@', text).any(|at| {
        let rest = &text[at + 1..];
        let mut in_url = || {
            *scheme.get_or_insert_with(|| {
                memchr::memmem::find(text, b"://").is_some() || memchr::memmem::find(text, b":\\/").is_some()
            })
        };
        // A name begins with a letter or digit; `@@ -1,3 +1,3 @@` in every diff does not.
        let named = match rest.first() {
            Some(b'\\') => true,
            Some(next) if next.is_ascii_alphanumeric() || *next >= 0x80 => free(text, at) || dotted(rest),
            _ => false,
        };
        named || in_url()
    })
}

/// Whether an `@` stands where a mention may begin.
fn free(text: &[u8], at: usize) -> bool {
    let raw_escape = at >= 2 && text[at - 2] == b'\\';
    let may_precede = |byte: &u8| {
        let word = is_word(*byte) || matches!(byte, b'@' | b'/' | b'.' | b']' | b'`' | b'-');
        *byte >= 0x80 || !word
    };
    raw_escape || text[..at].last().is_none_or(may_precede)
}

/// Whether a name with a dot in it begins here.
fn dotted(rest: &[u8]) -> bool {
    let in_label = |b: &&u8| b.is_ascii_alphanumeric() || **b >= 0x80 || **b == b'-';
    let length = rest.iter().take(PATH_WINDOW).take_while(in_label).count();
    length == PATH_WINDOW || matches!(rest.get(length), Some(b'.' | b'\\'))
}

/// Every needle is the part of its word that it says to be.
#[cfg(test)]
pub(super) fn needles_are_sound() -> bool {
    NEEDLES.iter().all(|(needle, word, at, ..)| {
        let part = &word.as_bytes()[*at..];
        let length = needle.len().min(part.len());
        needle.len() >= 3 && part[..length].eq_ignore_ascii_case(&needle.as_bytes()[..length])
    })
}
