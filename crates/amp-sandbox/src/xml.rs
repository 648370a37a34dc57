//! The little XML that S3 and STS speak.

/// An element with a text.
pub(crate) fn tag(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

/// A document whose root has S3's namespace (an error's has none).
pub(crate) fn document(root: &str, inner: &str) -> Vec<u8> {
    let namespace = if root == "Error" { "" } else { " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"" };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}{namespace}>{inner}</{root}>").into_bytes()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push_str(&format!("&#{};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The insides of each element of that name, not looking into nested ones of the same name.
pub(crate) fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((inside, next)) = after.split_once(&close) else { break };
        found.push(inside);
        rest = next;
    }
    found
}

/// The unescaped text of the first element of that name.
pub(crate) fn text(text: &str, name: &str) -> Option<String> {
    let raw = elements(text, name).first()?.trim().to_owned();
    let plain = raw.replace("&quot;", "\"").replace("&#34;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    Some(plain.replace("&apos;", "'").replace("&amp;", "&"))
}
