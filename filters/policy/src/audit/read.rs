//! The record from JSON, as the access log reads it: as strictly as serde does, which other programs read it with.

use std::borrow::Cow;

use super::{AuditRecord, AuditedCustom, AuditedDecision, AuditedMiss, AuditedRule};
use crate::wire::InvalidJson;
use crate::wire::json::{Fields, Reader, fields};

type Result<T> = std::result::Result<T, InvalidJson>;

impl<'a> AuditRecord<'a> {
    /// # Errors
    /// When the text is not JSON of a record.
    pub fn from_json(text: &'a [u8]) -> Result<Self> {
        Reader::whole(text, record)
    }
}

fn record<'a>(reader: &mut Reader<'a>) -> Result<AuditRecord<'a>> {
    const FIELDS: Fields = fields(
        2,
        &[
            "verdict",
            "reason",
            "policy",
            "rule",
            "version",
            "principal",
            "serial",
            "jwt_issuer",
            "jwt_subject",
            "nearest_miss",
            "audit",
            "shadow",
            "custom",
        ],
    );
    let mut record = AuditRecord::default();
    reader.object(FIELDS, &mut |reader, field| {
        match field {
            0 => record.verdict = reader.text()?,
            1 => record.reason = reader.text()?,
            2 => record.policy = reader.optional(Reader::text)?,
            3 => record.rule = reader.optional(Reader::number)?,
            4 => record.version = reader.text()?,
            5 => record.principal = reader.optional(Reader::text)?,
            6 => record.serial = reader.optional(Reader::text)?,
            7 => record.jwt_issuer = reader.optional(Reader::text)?,
            8 => record.jwt_subject = reader.optional(Reader::text)?,
            9 => record.nearest_miss = reader.optional(miss)?,
            10 => record.audit = reader.optional(rule)?,
            11 => record.shadow = reader.optional(decision)?,
            _ => record.custom = reader.list(custom)?,
        }
        Ok(())
    })?;
    Ok(record)
}

fn miss<'a>(reader: &mut Reader<'a>) -> Result<AuditedMiss<'a>> {
    let mut miss = AuditedMiss { policy: Cow::Borrowed(""), rule: 0, failed: Vec::new() };
    reader.object(fields(3, &["policy", "rule", "failed"]), &mut |reader, field| {
        match field {
            0 => miss.policy = reader.text()?,
            1 => miss.rule = reader.number()?,
            _ => miss.failed = reader.strings()?,
        }
        Ok(())
    })?;
    Ok(miss)
}

fn rule<'a>(reader: &mut Reader<'a>) -> Result<AuditedRule<'a>> {
    let mut rule = AuditedRule { policy: Cow::Borrowed(""), rule: 0 };
    reader.object(fields(2, &["policy", "rule"]), &mut |reader, field| {
        match field {
            0 => rule.policy = reader.text()?,
            _ => rule.rule = reader.number()?,
        }
        Ok(())
    })?;
    Ok(rule)
}

fn decision<'a>(reader: &mut Reader<'a>) -> Result<AuditedDecision<'a>> {
    let mut decision = AuditedDecision { verdict: Cow::Borrowed(""), policy: None, rule: None, reason: Cow::Borrowed("") };
    reader.object(fields(2, &["verdict", "reason", "policy", "rule"]), &mut |reader, field| {
        match field {
            0 => decision.verdict = reader.text()?,
            1 => decision.reason = reader.text()?,
            2 => decision.policy = reader.optional(Reader::text)?,
            _ => decision.rule = reader.optional(Reader::number)?,
        }
        Ok(())
    })?;
    Ok(decision)
}

fn custom<'a>(reader: &mut Reader<'a>) -> Result<AuditedCustom<'a>> {
    let mut custom = AuditedCustom { provider: Cow::Borrowed(""), policy: Cow::Borrowed(""), rule: 0 };
    reader.object(fields(3, &["provider", "policy", "rule"]), &mut |reader, field| {
        match field {
            0 => custom.provider = reader.text()?,
            1 => custom.policy = reader.text()?,
            _ => custom.rule = reader.number()?,
        }
        Ok(())
    })?;
    Ok(custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = r#"{"verdict":"DENY","policy":"a/b","rule":3,"reason":"r\"é","version":"v1","principal":"p","serial":"0a",
            "jwt_issuer":"i","jwt_subject":"s\u0001","nearest_miss":{"policy":"a/c","rule":4294967295,"failed":["x","y"]},
            "audit":{"policy":"a/d","rule":0},"shadow":{"verdict":"ALLOW","policy":"a/e","rule":1,"reason":"z"},
            "custom":[{"provider":"o","policy":"a/f","rule":2}]}"#;
        let record = AuditRecord::from_json(text.as_bytes()).unwrap();
        assert_eq!(record, serde_json::from_str(text).unwrap());
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(AuditRecord::from_json(written.as_bytes()).unwrap(), record);
        for (part, other) in
            [("\"verdict\"", "\"verdikt\""), ("\"rule\":0", "\"rule\":-1"), ("\"reason\":\"z\"", "\"policy\":\"z\""), ("]}", "]")]
        {
            let wrong = text.replacen(part, other, 1);
            assert!(
                AuditRecord::from_json(wrong.as_bytes()).is_err() && serde_json::from_str::<AuditRecord<'_>>(&wrong).is_err(),
                "{wrong}"
            );
        }
        assert_eq!(AuditRecord::from_json(br#"{"verdict":"a","reason":"b","rule":null}"#).unwrap().rule, None);
    }
}
