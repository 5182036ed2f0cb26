use std::fmt;

use crate::check::negated;

/// Where a field is, `rules[0].from[1].source.notPrincipals[2]`: built while configuration is read, written only when something is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    /// `notPrincipals` for `principals`.
    Negated(&'a str),
    Index(usize),
}

impl<'a> FieldPath<'a> {
    pub(crate) const fn root(name: &'a str) -> Self {
        Self { parent: None, step: Step::Field(name) }
    }

    pub(crate) const fn field<'b>(&'b self, name: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Field(name) }
    }

    pub(crate) const fn negated<'b>(&'b self, name: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Negated(name) }
    }

    pub(crate) const fn index<'b>(&'b self, index: usize) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}")?;
        }
        let dot = if self.parent.is_some() { "." } else { "" };
        match self.step {
            Step::Field(name) => write!(f, "{dot}{name}"),
            Step::Negated(name) => write!(f, "{dot}{}", negated(name)),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_people_would() {
        let rules = FieldPath::root("rules");
        let rule = rules.index(0);
        let source = rule.field("from").to_string();
        assert_eq!(source, "rules[0].from");
        assert_eq!(rule.negated("ipBlocks").index(2).to_string(), "rules[0].notIpBlocks[2]");
    }
}
