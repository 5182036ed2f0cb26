//! The records of late, as JSON: most requests are decided as one before was, and looking for it costs less than writing it again.

use std::rc::Rc;

use meshwright_policy::AuditRecord;

use crate::recent::Recent;

/// Longer ones are written each time.
const LONGEST: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Records {
    written: Recent<(AuditRecord<'static>, Rc<[u8]>)>,
    /// In which each is written; empty otherwise.
    buffer: Vec<u8>,
}

impl Records {
    /// The record as JSON.
    pub(crate) fn json(&mut self, record: &AuditRecord<'_>) -> Rc<[u8]> {
        if let Some((_, json)) = self.written.iter().find(|(known, _)| is_same(known, record)) {
            return Rc::clone(json);
        }
        self.write(record)
    }

    /// The same, of a record that somebody else keeps.
    #[inline(never)]
    pub(crate) fn json_once(&mut self, record: &AuditRecord<'_>) -> Rc<[u8]> {
        record.write_json(&mut self.buffer);
        let json = Rc::from(self.buffer.as_slice());
        // One that is longer than any that comes often is not kept for the others.
        self.buffer.clear();
        self.buffer.shrink_to(LONGEST);
        json
    }

    #[inline(never)]
    fn write(&mut self, record: &AuditRecord<'_>) -> Rc<[u8]> {
        let json = self.json_once(record);
        if json.len() <= LONGEST {
            self.written.push((record.clone().into_owned(), Rc::clone(&json)));
        }
        json
    }
}

/// What differs most often is looked at first.
fn is_same(known: &AuditRecord<'_>, record: &AuditRecord<'_>) -> bool {
    known.jwt_subject == record.jwt_subject && known.rule == record.rule && known == record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: &str, rule: u32) -> AuditRecord<'_> {
        AuditRecord { verdict: "ALLOW".into(), rule: Some(rule), jwt_subject: Some(subject.into()), ..AuditRecord::default() }
    }

    #[test]
    fn each_record_is_what_it_would_be_without_memory() {
        let mut records = Records::default();
        let long = "x".repeat(LONGEST);
        let subjects: Vec<String> = (0..20).map(|number| format!("s{number}")).chain([long]).collect();
        for _ in 0..3 {
            for subject in &subjects {
                for rule in [0, 1] {
                    // Asked twice: once written, once remembered.
                    for _ in 0..2 {
                        assert_eq!(*records.json(&of(subject, rule)), *of(subject, rule).to_json());
                        assert_eq!(*records.json_once(&of(subject, rule)), *of(subject, rule).to_json());
                    }
                }
            }
        }
        assert!(records.written.iter().all(|(_, json)| json.len() <= LONGEST));
        assert!(records.buffer.capacity() <= LONGEST);
    }

    #[test]
    fn records_that_differ_in_anything_are_apart() {
        let mut records = Records::default();
        let all = [
            of("s", 0),
            AuditRecord { jwt_issuer: Some("i".into()), ..of("s", 0) },
            AuditRecord { principal: Some("p".into()), ..of("s", 0) },
            AuditRecord { verdict: "DENY".into(), ..of("s", 0) },
            AuditRecord { version: "v".into(), ..of("s", 0) },
        ];
        for record in all.iter().chain(&all) {
            assert_eq!(*records.json(record), *record.to_json());
        }
    }
}
