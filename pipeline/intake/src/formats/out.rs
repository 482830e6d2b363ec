//! What a reader makes of one value, handed on some at a time: a document of 15 MB may hold half a million samples, and
//! each is kilobytes as an object.

use super::Taken;
use super::parts::UNREAD;
use serde_json::Value;

/// As many as are held before they are handed on.
const HELD: usize = 1024;

/// Where a reader puts what it makes.
#[derive(Default)]
pub(crate) struct Out<'a> {
    held: Vec<Taken>,
    handed_on: usize,
    /// Takes what is held; without it all is held.
    take: Option<&'a mut dyn FnMut(Vec<Taken>)>,
}

impl<'a> Out<'a> {
    /// Hands on a part at a time; what is left at the end is held.
    pub(crate) fn parts(take: &'a mut dyn FnMut(Vec<Taken>)) -> Self {
        Self { held: Vec::new(), handed_on: 0, take: Some(take) }
    }

    pub(crate) fn push(&mut self, taken: Taken) {
        if let Some(take) = self.take.as_mut().filter(|_| self.held.len() >= HELD) {
            self.handed_on += self.held.len();
            take(std::mem::take(&mut self.held));
        }
        self.held.push(taken);
    }

    /// What `read` puts here; of what is refused as unread, `amend` makes what can be told from it alone.
    pub(crate) fn amended(&mut self, amend: impl Fn(&mut Value), read: impl FnOnce(&mut Out)) {
        let mut hand_on = |part: Vec<Taken>| {
            self.extend(part.into_iter().map(|mut taken| {
                if let Err((value, UNREAD)) = &mut taken {
                    amend(value);
                }
                taken
            }));
        };
        let mut inner = Out::parts(&mut hand_on);
        read(&mut inner);
        let (rest, _) = inner.rest();
        hand_on(rest);
    }

    /// All that were put here.
    pub(crate) fn len(&self) -> usize {
        self.handed_on + self.held.len()
    }

    /// What is held, and whether anything was handed on before it.
    pub(crate) fn rest(self) -> (Vec<Taken>, bool) {
        (self.held, self.handed_on > 0)
    }
}

impl Extend<Taken> for Out<'_> {
    fn extend<T: IntoIterator<Item = Taken>>(&mut self, all: T) {
        all.into_iter().for_each(|taken| self.push(taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Reason;

    #[test]
    fn many_are_handed_on_in_parts_and_the_rest_is_kept() {
        let mut parts = Vec::new();
        let mut take = |part: Vec<Taken>| parts.push(part.len());
        let mut out = Out::parts(&mut take);
        out.extend((0..2 * HELD + 1).map(|_| Err((Value::Null, Reason::NotJson))));
        assert_eq!(out.len(), 2 * HELD + 1);
        let (rest, is_part) = out.rest();
        assert_eq!((rest.len(), is_part), (1, true));
        assert_eq!(parts, [HELD, HELD]);
    }
}
