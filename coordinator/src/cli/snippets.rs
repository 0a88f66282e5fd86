//! How to ask for work, to be pasted into a shell or a program.

use shared::pow::Root;

use crate::entropy;

/// The same request with curl, in Python and in JavaScript, each with a root of its own, for the work of a receive.
///
/// # Errors
/// When the system gives no random numbers.
pub(super) fn of(url: &str, key: &str) -> Result<Vec<String>, getrandom::Error> {
    let mut lines = Vec::new();
    for (heading, text) in [("# curl", CURL), ("# Python", PYTHON), ("// JavaScript", JAVASCRIPT)] {
        let root = Root::new(entropy::bytes()?).to_string();
        let text = text.replace("{url}", url).replace("{key}", key).replace("{root}", &root);
        lines.extend(["", heading].map(String::from));
        lines.extend(text.lines().map(String::from));
    }
    Ok(lines)
}

const CURL: &str = r#"curl -sS {url}/v1/work -H 'Authorization: Bearer {key}' \
  -d '{"root":"{root}","subtype":"receive"}'"#;

const PYTHON: &str = r#"import json, urllib.request

request = urllib.request.Request(
    "{url}/v1/work",
    data=json.dumps({"root": "{root}", "subtype": "receive"}).encode(),
    headers={"Authorization": "Bearer {key}"},
)
print(json.load(urllib.request.urlopen(request))["work"])"#;

const JAVASCRIPT: &str = r#"const response = await fetch("{url}/v1/work", {
  method: "POST",
  headers: { Authorization: "Bearer {key}" },
  body: JSON.stringify({ root: "{root}", subtype: "receive" }),
});
console.log((await response.json()).work);"#;
