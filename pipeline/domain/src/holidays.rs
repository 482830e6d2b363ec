//! Days on which nobody works, as a team writes them down: what is used on them looks like a weekend.

use crate::Timestamp;
use crate::hours::parse_offset;
use crate::overrides::matches;
use crate::time::DAY;
use chrono::{Datelike, NaiveDate};
use serde::Deserialize;

/// The file that `shadow --holidays` reads: TOML with `[[holiday]]` tables.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holidays {
    /// Where days begin, as `+01:00`; UTC where it is absent.
    pub offset: Option<String>,
    /// In file order.
    #[serde(default, rename = "holiday")]
    pub list: Vec<Holiday>,
}

/// A day, or several.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// `2026-12-25`, or `12-25` for that day of every year.
    pub date: String,
    /// The last day, where there are several; written in the same way.
    pub to: Option<String>,
    /// Whose it is, `*` standing for any run of characters; everybody's where it is absent.
    pub resource: Option<String>,
    /// For people.
    pub name: Option<String>,
}

/// Time in which some resources are at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRest {
    /// Whose, as in [`Holiday::resource`].
    pub resource: Option<String>,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

impl AtRest {
    /// Whether it is about this resource.
    pub fn is_of(&self, resource: &str) -> bool {
        self.resource.as_deref().is_none_or(|pattern| matches(pattern, resource))
    }
}

impl Holidays {
    /// The days that are in some years, in order.
    ///
    /// # Errors
    /// What cannot be understood, in words.
    pub fn within(&self, years: std::ops::RangeInclusive<i32>) -> Result<Vec<AtRest>, String> {
        let offset = match &self.offset {
            Some(text) => parse_offset(text).ok_or_else(|| format!("the offset {text:?} is none such as +01:00"))?,
            None => 0,
        };
        let mut all = Vec::new();
        for holiday in &self.list {
            let wrong = |text: &str| format!("the holiday {text:?} is no date such as 2026-12-25 or 12-25");
            let last = holiday.to.as_ref().unwrap_or(&holiday.date);
            let once = NaiveDate::parse_from_str(&holiday.date, "%Y-%m-%d");
            let mut add = |from: NaiveDate, to: NaiveDate| {
                if to < from {
                    return Err(format!("the holiday {:?} ends before it begins", holiday.date));
                }
                let moment = |date: NaiveDate| Timestamp(i64::from(date.to_epoch_days()) * DAY - offset);
                let to = moment(to).plus(DAY);
                all.push(AtRest { resource: holiday.resource.clone(), from: moment(from), to });
                Ok(())
            };
            if let Ok(from) = once {
                let to = NaiveDate::parse_from_str(last, "%Y-%m-%d").map_err(|_| wrong(last))?;
                if from.year() <= *years.end() && to.year() >= *years.start() {
                    add(from, to)?;
                }
                continue;
            }
            // The 29th of February is a day of leap years: 2024 is one.
            for text in [&holiday.date, last] {
                NaiveDate::parse_from_str(&format!("2024-{text}"), "%Y-%m-%d").map_err(|_| wrong(text))?;
            }
            let of = |year: i32, text: &str| NaiveDate::parse_from_str(&format!("{year:04}-{text}"), "%Y-%m-%d").ok();
            for year in years.clone() {
                let Some(from) = of(year, &holiday.date) else { continue };
                // From Christmas to New Year.
                let ends = if last < &holiday.date { year + 1 } else { year };
                add(from, of(ends, last).or_else(|| of(ends, "02-28")).unwrap_or(from))?;
            }
        }
        all.sort_by_key(|rest| (rest.from, rest.to));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holiday(date: &str, to: Option<&str>) -> Holidays {
        let list = vec![Holiday { date: date.into(), to: to.map(str::to_owned), ..Holiday::default() }];
        Holidays { offset: Some("+01:00".into()), list }
    }

    fn told(holidays: &Holidays) -> Vec<String> {
        let days = holidays.within(2026..=2027).unwrap();
        days.iter().map(|rest| format!("{} {}", rest.from.minute(), rest.to.minute())).collect()
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_offset_and_may_come_every_year() {
        assert_eq!(told(&holiday("2026-12-25", None)), ["2026-12-24 23:00 2026-12-25 23:00"]);
        assert_eq!(told(&holiday("2028-12-25", None)), [""; 0]);
        assert_eq!(
            told(&holiday("12-24", Some("01-01"))),
            ["2026-12-23 23:00 2027-01-01 23:00", "2027-12-23 23:00 2028-01-01 23:00"]
        );
        assert_eq!(told(&holiday("02-29", None)), [""; 0]);
        assert_eq!(
            told(&holiday("02-20", Some("02-29"))),
            ["2026-02-19 23:00 2026-02-28 23:00", "2027-02-19 23:00 2027-02-28 23:00"]
        );
        assert_eq!(told(&holiday("2025-12-31", Some("2028-01-01"))).len(), 1, "it began before and ends after");
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (date, to) in
            [("Christmas", None), ("2026-13-01", None), ("2026-12-25", Some("2026-12-24")), ("12-40", None)]
        {
            assert!(holiday(date, to).within(2026..=2026).is_err(), "{date}");
        }
        let offset = Holidays { offset: Some("CET".into()), ..holiday("12-25", None) };
        assert!(offset.within(2026..=2026).unwrap_err().contains("CET"));
    }
}
