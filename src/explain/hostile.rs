//! Names and reasons as an enemy would choose them: one list for everything that writes text of the outside somewhere. Each sink
//! (page, terminal, log, CSV, metrics) has a test that goes through all of it.

/// Every one of them contains this, so that it is found again wherever it was written.
pub(crate) const MARK: &str = "hostile";

/// The list.
pub(crate) fn corpus() -> Vec<String> {
    let mut all: Vec<String> = [
        // HTML, in text, in attributes, in elements that browsers treat apart.
        "hostile<script>alert(1)</script>",
        "</title></style></svg><img src=x onerror=alert(1)>hostile",
        "\" autofocus onfocus=\"alert(1)\" hostile=\"",
        "' onmouseover='alert(1)' hostile='",
        "<!-- hostile --><![CDATA[ hostile ]]>",
        "&lt;hostile&gt; &amp; &#60;script&#62;",
        "javascript:alert('hostile')",
        "{{hostile}} ${hostile} %s %n",
        // Terminals and lines.
        "hostile\u{1b}[2J\u{1b}[31m\u{1b}]0;title\u{7}",
        "hostile\u{9b}31m\u{90}\u{9d}",
        "hostile\r\nlevel=ERROR forged=line",
        "hostile\nautotune_forged_total 1",
        "hostile\ttab\u{b}\u{c}\u{8}\u{7f}",
        "hostile\u{0}nul",
        "hostile\u{85}\u{2028}\u{2029}line",
        // Direction of writing, and what takes no room.
        "hostile\u{202e}gnp.exe\u{202c}\u{2066}x\u{2069}",
        "hos\u{200b}tile hostile\u{feff}\u{ad}\u{200d}",
        "hostile e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        // Formulas of spreadsheets.
        "=hostile()+cmd|' /C calc'!A0",
        "+hostile",
        "-hostile",
        "@hostile",
        "\t=hostile",
        // What the exposition format of Prometheus, JSON and CSV give a meaning.
        "hostile\\n\\\\\"} 1 # HELP autotune_x",
        "hostile\",\"forged\":\"json",
        "hostile,\"forged\"\"cell\",",
        "hostile{label=\"x\"}",
        // Paths.
        "../../hostile/%2e%2e/%00",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push(format!("hostile{}", "x".repeat(5_000)));
    all.push(format!("hostile{}", "\u{202e}<b>".repeat(500)));
    all
}

/// Whether something in it would steer a terminal or turn the direction of writing; ends of lines do not count.
pub(crate) fn has_invisible(text: &str) -> bool {
    text.lines().any(|line| super::printable(line).to_string() != line)
}
