//! Events of the contract, one an object, or many in a batch object `{repo, branch, …, "events": […]}`.

use super::{Format, Reader, Taken};
use domain::event::singles;
use serde_json::Value;

pub(super) static FORMAT: Format =
    Format { name: "native", recognises: |_| false, reader: || Box::new(Native), independent: true };

struct Native;

impl Reader for Native {
    fn object(&mut self, value: Value, out: &mut Vec<Taken>) {
        out.extend(singles(value));
    }
}
