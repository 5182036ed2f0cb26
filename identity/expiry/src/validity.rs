use time::{Duration, OffsetDateTime};

/// What renews certificates does so with a third of their life left (cert-manager) or 30 days (ACME clients): with less than this and a quarter,
/// nothing does.
const SOON: Duration = Duration::days(14);
const SHARE: i32 = 4;

/// From when to when one certificate is taken (RFC 5280 section 4.1.2.5), both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

/// How a certificate stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not taken any more.
    Ended,
    /// It is not taken yet.
    NotBegun,
    /// It is taken, and should have been replaced by now; so long is left.
    EndsSoon(Duration),
    /// It is taken, and what renews it still has time.
    Good,
}

impl Validity {
    #[must_use]
    pub const fn new(not_before: OffsetDateTime, not_after: OffsetDateTime) -> Self {
        Self { not_before, not_after }
    }

    #[must_use]
    pub const fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    #[must_use]
    pub const fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    #[must_use]
    pub fn standing(&self, now: OffsetDateTime) -> Standing {
        let left = self.not_after - now;
        if left.is_negative() {
            Standing::Ended
        } else if now < self.not_before {
            Standing::NotBegun
        } else if left < SOON.min((self.not_after - self.not_before) / SHARE) {
            Standing::EndsSoon(left)
        } else {
            Standing::Good
        }
    }
}

/// Days, or hours where it is less than a day.
#[must_use]
pub fn in_words(left: Duration) -> String {
    let (number, unit) = match left.whole_days() {
        0 => (left.whole_hours(), "hour"),
        days => (days, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_two_weeks_and_a_quarter_of_its_life_is_soon() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let second = Duration::SECOND;
        for (life, late) in [(Duration::days(90), Duration::days(14)), (Duration::days(8), Duration::days(2))] {
            let (one, end) = (Validity::new(start, start + life), start + life);
            assert_eq!((one.not_before(), one.not_after()), (start, end));
            assert_eq!(one.standing(start - second), Standing::NotBegun);
            assert_eq!(one.standing(start), Standing::Good);
            assert_eq!(one.standing(end - late), Standing::Good);
            assert_eq!(one.standing(end - late + second), Standing::EndsSoon(late - second));
            assert_eq!(one.standing(end), Standing::EndsSoon(Duration::ZERO));
            assert_eq!(one.standing(end + second), Standing::Ended);
        }
        let backwards = Validity::new(start + second, start - second);
        assert_eq!(backwards.standing(start), Standing::Ended, "what ends before it begins is never taken");
    }

    #[test]
    fn what_is_left_is_said_in_days_and_then_in_hours() {
        for (left, words) in
            [(Duration::days(13), "13 days"), (Duration::hours(47), "1 day"), (Duration::hours(1), "1 hour"), (Duration::ZERO, "0 hours")]
        {
            assert_eq!(in_words(left), words);
        }
    }
}
