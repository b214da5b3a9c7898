//! Words of a query that anybody may send.

use proptest::prelude::*;

use super::*;
use crate::registry::continuation::Continuation;
use crate::registry::selection::Selection;

proptest! {
    #[test]
    fn tokens_and_selectors_are_read_or_refused(
        text in "\\PC{0,60}",
        fields in "[a-z.=!,\\\\ ]{0,60}",
        start in "\\PC{0,20}",
        version in any::<i64>(),
    ) {
        let _ = Continuation::decode(&text);
        let token = serde_json::json!({"v": "meta.k8s.io/v1", "rv": version, "start": start}).to_string();
        let token = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, token);
        if let Ok(from) = Continuation::decode(&token) {
            prop_assert_eq!(Continuation::decode(&from.encode()).unwrap(), from);
        }
        let pods = api::resource::find("", "v1", "pods").unwrap();
        for (label_selector, field_selector) in [(&text, &fields), (&fields, &text)] {
            let options = ListOptions {
                label_selector: label_selector.clone(),
                field_selector: field_selector.clone(),
                ..ListOptions::default()
            };
            let _ = Selection::parse(pods, &options);
        }
    }
}
