//! Texts as small numbers.

use std::collections::HashMap;

/// Texts as numbers, in order of first sight.
#[derive(Default)]
pub(crate) struct Interner {
    pub(crate) names: Vec<String>,
    places: HashMap<String, u32>,
}

impl Interner {
    pub(crate) fn of(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }

    pub(crate) fn all<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) -> Vec<u32> {
        names.into_iter().map(|name| self.of(name)).collect()
    }
}
