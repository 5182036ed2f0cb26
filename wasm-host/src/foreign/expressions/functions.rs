//! The functions of expressions: the library's, and under names that nobody can write those in which Envoy's evaluator differs.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelDouble, CelDuration, CelInt, CelString, CelTimestamp, DYN_TYPE};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};

use super::budget;

type Function = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Result<'b, 'v>;
type Result<'b, 'v> = std::result::Result<CowVal<'b, 'v>, ExecutionError>;

static STANDARD: LazyLock<Env> = LazyLock::new(Env::stdlib);

static ALL: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    let own: [(&str, Function); 6] = [
        ("@int", int),
        ("@uint", uint),
        ("@double", double),
        ("@string", string),
        ("@getMilliseconds", milliseconds),
        (budget::COUNTED, budget::counted),
    ];
    for (name, function) in own {
        // No other has these names.
        let _known = env.add_overload(name, name, vec![DYN_TYPE], function);
    }
    Arc::new(env)
});

pub(super) fn all() -> Arc<Env> {
    Arc::clone(&ALL)
}

/// By which the evaluator finds the function that is written as `name`.
pub(super) fn own_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "int" => "@int",
        "uint" => "@uint",
        "double" => "@double",
        "string" => "@string",
        "getMilliseconds" => "@getMilliseconds",
        _ => return None,
    })
}

fn standard<'b, 'v>(name: &str, args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    match STANDARD.find_overload(name, &args) {
        Some(function) => function(args),
        None => Err(ExecutionError::no_such_overload(name, Vec::new())),
    }
}

/// Of a text, which may have spaces around the number.
fn number<'b, 'v>(name: &str, args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    match args.first().and_then(|arg| arg.downcast_ref::<CelString<'_>>()) {
        Some(text) => standard(name, vec![CowVal::owned(CelString::from(text.inner().trim().to_owned()))]),
        None => standard(name, args),
    }
}

/// Of a truth value too.
fn int<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    match args.first().and_then(|arg| arg.downcast_ref::<CelBool>()) {
        Some(value) => Ok(CowVal::owned(CelInt::from(i64::from(*value.inner())))),
        None => number("int", args),
    }
}

fn uint<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    number("uint", args)
}

fn double<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    number("double", args)
}

/// Of a double with an exponent earlier.
fn string<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    match args.first().and_then(|arg| arg.downcast_ref::<CelDouble>()) {
        Some(number) => Ok(CowVal::owned(CelString::from(text_of(*number.inner())))),
        None => standard("string", args),
    }
}

/// Of a duration only those that do not make a second.
fn milliseconds<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<'b, 'v> {
    let of = args.first().and_then(|arg| {
        let duration = arg.downcast_ref::<CelDuration>().map(|duration| i64::from(duration.inner().subsec_nanos()) / 1_000_000);
        duration.or_else(|| arg.downcast_ref::<CelTimestamp>().map(|time| time.inner().timestamp_subsec_millis().into()))
    });
    let number = of.ok_or_else(|| ExecutionError::no_such_overload("getMilliseconds", Vec::new()))?;
    Ok(CowVal::owned(CelInt::from(number)))
}

/// As few digits as tell it from others; with an exponent where `%g` has one.
fn text_of(number: f64) -> String {
    if !number.is_finite() {
        return number.to_string().to_lowercase();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..=5).contains(&exponent) {
        return number.to_string();
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_have_the_digits_that_they_need() {
        let all = [
            (0.1, "0.1"),
            (1.0, "1"),
            (-0.0, "-0"),
            (1e30, "1e+30"),
            (1_234_567.0, "1.234567e+06"),
            (123_456.7, "123456.7"),
            (0.000_012, "1.2e-05"),
        ];
        for (number, text) in all {
            assert_eq!(text_of(number), text);
        }
    }
}
