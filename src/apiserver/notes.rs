//! What is noted in passing while a request is carried out: warnings for the client and annotations for the audit log.
//! Whoever finds something to say is deep below whoever answers, and the answer may be an error; so notes belong to the
//! task that carries out the request, as upstream's belong to its context.

use std::cell::RefCell;

tokio::task_local! {
    static NOTES: RefCell<Notes>;
}

/// What was noted.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Each once, in the order in which they were found.
    pub(crate) warnings: Vec<String>,
    /// Keys and values for the audit log. The first value of a key stays.
    pub(crate) annotations: Vec<(String, String)>,
}

/// Carries out a request and gives what was noted meanwhile beside its outcome.
pub(crate) async fn of<T>(request: impl Future<Output = T>) -> (T, Notes) {
    let work = async {
        let outcome = request.await;
        (outcome, NOTES.with(RefCell::take))
    };
    NOTES.scope(RefCell::default(), work).await
}

/// How many warnings are kept. A response's headers have room for fewer.
const WARNINGS: usize = 4096;

/// Notes a warning. Nobody reads it where no request is carried out.
pub(crate) fn warn(text: impl Into<String>) {
    let text = text.into();
    note(|notes| {
        if notes.warnings.len() < WARNINGS && !notes.warnings.contains(&text) {
            notes.warnings.push(text);
        }
    });
}

/// Notes the warnings of a request that is refused after all: nothing else brings them to the client.
pub(crate) fn warn_all(warnings: &[String]) {
    warnings.iter().for_each(|text| warn(text.as_str()));
}

/// Notes an annotation for the audit log.
pub(crate) fn annotate(key: String, value: String) {
    note(|notes| {
        if !notes.annotations.iter().any(|(known, _)| *known == key) {
            notes.annotations.push((key, value));
        }
    });
}

fn note(add: impl FnOnce(&mut Notes)) {
    // Without a request there is nobody to tell.
    let _ = NOTES.try_with(|notes| add(&mut notes.borrow_mut()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notes_belong_to_the_request() {
        warn("nobody hears");
        let ((), notes) = of(async {
            warn("a");
            tokio::task::yield_now().await;
            warn("b");
            warn("a");
            annotate("k".into(), "1".into());
            annotate("k".into(), "2".into());
        })
        .await;
        assert_eq!(notes.warnings, ["a", "b"]);
        assert_eq!(notes.annotations, [("k".to_owned(), "1".to_owned())]);
    }
}
