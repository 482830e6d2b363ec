//! Time zones by name, for hours that people keep: working hours and nightly builds move with the clocks on the wall.

use crate::Timestamp;
use crate::time::SECOND;
use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A time zone of the IANA database, such as `Europe/Berlin`; UTC by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl Zone {
    /// Whether its hours are those of UTC all year.
    pub fn is_utc(&self) -> bool {
        *self == Self::default()
    }

    /// What a clock on the wall shows at a moment, as the moment at which a clock on UTC shows the same.
    pub fn wall(self, at: Timestamp) -> Timestamp {
        let offset = DateTime::from_timestamp_micros(at.0)
            .map_or(0, |utc| self.0.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc());
        at.plus(i64::from(offset) * SECOND)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl std::str::FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = |_| format!("{name:?} is no time zone: write its IANA name, such as Europe/Berlin or UTC");
        name.parse().map(Self).map_err(unknown)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0.name().to_owned()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_on_the_wall_is_put_forward_and_back() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        assert_eq!(
            (berlin.to_string(), berlin.is_utc(), Zone::default().is_utc()),
            ("Europe/Berlin".into(), false, true)
        );
        for (utc, wall) in [
            ("2026-03-29T00:59:59Z", "2026-03-29T01:59:59Z"),
            ("2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"),
        ] {
            assert_eq!(berlin.wall(at(utc)), at(wall), "{utc}");
        }
        let kolkata: Zone = "Asia/Kolkata".parse().unwrap();
        assert_eq!(kolkata.wall(at("2026-01-01T20:00:00Z")), at("2026-01-02T01:30:00Z"));
        assert!("Berlin".parse::<Zone>().unwrap_err().contains("IANA"));
    }
}
