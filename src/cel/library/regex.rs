//! Regular expressions in Go's syntax.

use std::sync::Arc;

use api::regexp::{self, Expression};
use regex::Regex;

use super::core::{int, text};
use super::{Context, lists};
use crate::error::Error;
use crate::value::Value;

const ILLEGAL: &str = "Illegal regex: ";
/// How many values are looked at in a microsecond.
const MICROSECOND: usize = 20;

/// The compiled pattern. Who is the first to use one pays for compiling it.
fn compiled(context: &Context<'_>, pattern: &Value<'_>, illegal: &str) -> Result<Arc<Regex>, Error> {
    let pattern = text(pattern)?;
    if let Some(kept) = regexp::kept(pattern) {
        return Ok(kept);
    }
    context.work.take(pattern.len())?;
    let failed = |why: String| Error::new(format!("{illegal}{why}"));
    let expression = Expression::read(pattern).map_err(failed)?;
    context.work.take(expression.work() * MICROSECOND)?;
    expression.compile().map_err(failed)
}

pub(super) fn matches<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::Bool(compiled(context, &args[1], "")?.is_match(text(&args[0])?)))
}

/// The first match, or empty text.
pub(super) fn find<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let regex = compiled(context, &args[1], ILLEGAL)?;
    let found = regex.find(text(&args[0])?).map_or("", |found| found.as_str());
    Ok(Value::from(found.to_owned()))
}

/// All matches, or the first few.
pub(super) fn find_all<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let regex = compiled(context, &args[1], ILLEGAL)?;
    let most = match args.get(2) {
        Some(most) => usize::try_from(int(most)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let text = text(&args[0])?;
    let found = regex.find_iter(text).take(most).map(|found| Value::from(found.as_str().to_owned()));
    lists::collected(context, found)
}
