//! The date that templates write: an input, since a clock would give two runs two texts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::TuningError;

/// A day of the Gregorian calendar, as `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl Default for Date {
    /// 26 July 2024, the day that Llama 3.1's template writes where it has no clock.
    fn default() -> Self {
        Self {
            year: 2024,
            month: 7,
            day: 26,
        }
    }
}

impl Date {
    fn leap(self) -> bool {
        let year = self.year;
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    }

    fn month_days(self, month: u8) -> u8 {
        match month {
            2 => 28 + u8::from(self.leap()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Day of the year, from 1.
    fn of_year(self) -> u32 {
        let months = (1..self.month).map(|month| u32::from(self.month_days(month)));
        months.sum::<u32>() + u32::from(self.day)
    }

    /// Day of the week, from 0 for Sunday.
    fn of_week(self) -> u32 {
        let before = u32::from(self.year) - 1;
        (before * 365 + before / 4 - before / 100 + before / 400 + self.of_year()) % 7
    }

    /// Year and week of ISO 8601.
    fn iso_week(self) -> (u32, u32) {
        let week_day = (self.of_week() + 6) % 7;
        let year = u32::from(self.year);
        let week = (self.of_year() + 9 - week_day) / 7;
        let last = |year: u32| {
            let p = |y: u32| (y + y / 4 - y / 100 + y / 400) % 7;
            52 + u32::from(p(year) == 4 || p(year - 1) == 3)
        };
        match week {
            0 => (year - 1, last(year - 1)),
            week if week > last(year) => (year + 1, 1),
            week => (year, week),
        }
    }

    /// Writes the date as Python's `strftime` in the C locale does; the time is midnight and has no zone.
    /// `%-d` and the other forms of glibc without leading zeros are known. A directive that is not known
    /// is `None`.
    pub(super) fn strftime(self, format: &str) -> Option<String> {
        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            let mut directive = chars.next();
            let bare = directive == Some('-');
            if bare {
                directive = chars.next();
            }
            let part = self.directive(directive?)?;
            match bare {
                true => {
                    let short = part.trim_start_matches(['0', ' ']);
                    text.push_str(if short.is_empty() { "0" } else { short });
                }
                false => text.push_str(&part),
            }
        }
        Some(text)
    }

    fn directive(self, directive: char) -> Option<String> {
        let (year, month, day) = (
            u32::from(self.year),
            u32::from(self.month),
            u32::from(self.day),
        );
        let month_name = MONTHS[usize::from(self.month - 1) % 12];
        let day_name = DAYS[self.of_week() as usize % 7];
        let sunday = (self.of_year() + 6 - self.of_week()) / 7;
        let monday = (self.of_year() + 6 - (self.of_week() + 6) % 7) / 7;
        let all = |format: &str| self.strftime(format);
        Some(match directive {
            'a' => day_name[..3].to_owned(),
            'A' => day_name.to_owned(),
            'b' | 'h' => month_name[..3].to_owned(),
            'B' => month_name.to_owned(),
            'c' => all("%a %b %e %H:%M:%S %Y")?,
            'C' => format!("{:02}", year / 100),
            'd' => format!("{day:02}"),
            'D' | 'x' => all("%m/%d/%y")?,
            'e' => format!("{day:2}"),
            'f' => "000000".to_owned(),
            'F' => all("%Y-%m-%d")?,
            'g' => format!("{:02}", self.iso_week().0 % 100),
            'G' => self.iso_week().0.to_string(),
            'H' | 'M' | 'S' => "00".to_owned(),
            'I' => "12".to_owned(),
            'j' => format!("{:03}", self.of_year()),
            'm' => format!("{month:02}"),
            'n' => "\n".to_owned(),
            'p' => "AM".to_owned(),
            'r' => all("%I:%M:%S %p")?,
            'R' => all("%H:%M")?,
            't' => "\t".to_owned(),
            'T' | 'X' => all("%H:%M:%S")?,
            'u' => ((self.of_week() + 6) % 7 + 1).to_string(),
            'U' => format!("{sunday:02}"),
            'V' => format!("{:02}", self.iso_week().1),
            'w' => self.of_week().to_string(),
            'W' => format!("{monday:02}"),
            'y' => format!("{:02}", year % 100),
            'Y' => year.to_string(),
            'z' | 'Z' => String::new(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = TuningError;

    fn from_str(text: &str) -> Result<Self, TuningError> {
        let bad = || TuningError::Config(format!("date {text:?} is no day written as YYYY-MM-DD"));
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts.as_slice() else {
            return Err(bad());
        };
        let digits = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
            return Err(bad());
        }
        let date = Self {
            year: year.parse().map_err(|_| bad())?,
            month: month.parse().map_err(|_| bad())?,
            day: day.parse().map_err(|_| bad())?,
        };
        let known = date.year > 0
            && (1..=12).contains(&date.month)
            && (1..=date.month_days(date.month)).contains(&date.day);
        known.then_some(date).ok_or_else(bad)
    }
}

impl TryFrom<String> for Date {
    type Error = TuningError;

    fn try_from(text: String) -> Result<Self, TuningError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Python 3.11: `datetime(y, m, d).strftime(format)`.
    #[test]
    fn dates_are_written_as_python_does() {
        let format = "%d %b %Y|%A, %B %-d|%a %h %e|%j %U %W %w %u|%G-W%V %g|%H:%M %I%p|%y %C %D %%";
        for (date, text) in [
            (
                "2024-07-26",
                "26 Jul 2024|Friday, July 26|Fri Jul 26|208 29 30 5 5|2024-W30 24|00:00 12AM|24 20 07/26/24 %",
            ),
            (
                "2021-01-03",
                "03 Jan 2021|Sunday, January 3|Sun Jan  3|003 01 00 0 7|2020-W53 20|00:00 12AM|21 20 01/03/21 %",
            ),
            (
                "2000-12-31",
                "31 Dec 2000|Sunday, December 31|Sun Dec 31|366 53 52 0 7|2000-W52 00|00:00 12AM|00 20 12/31/00 %",
            ),
        ] {
            let read: Date = date.parse().unwrap();
            assert_eq!(read.strftime(format).unwrap(), text);
            assert_eq!(read.to_string(), date);
        }
        assert_eq!(Date::default().strftime("%d %b %Y").unwrap(), "26 Jul 2024");
        assert!(Date::default().strftime("%Q").is_none());
        assert!(Date::default().strftime("%").is_none());
        for bad in [
            "2023-02-29",
            "2024-13-01",
            "2024-1-1",
            "0000-01-01",
            "today",
            "2024-00-10",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }
}
