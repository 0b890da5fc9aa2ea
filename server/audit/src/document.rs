//! A document of headings, paragraphs, tables and literal text, as Markdown or as one HTML file that loads
//! nothing. It runs nothing but what checks it ([`Proved`]). Texts may be anybody's: they are escaped here
//! alone.

mod proved;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedseal_client_sdk::digest::Digest;

pub use proved::Proved;

/// A part of a document.
#[derive(Debug)]
enum Block {
    Heading(String),
    Text(String),
    /// Rows, the heading first.
    Table(Vec<Vec<String>>),
    /// Its name in the file, and rows as above.
    Named(&'static str, Vec<Vec<String>>),
    Proved(Proved),
    Code(String),
}

/// A document.
#[derive(Debug)]
pub struct Document {
    title: String,
    blocks: Vec<Block>,
}

impl Document {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Self {
        Document {
            title: title.into(),
            blocks: Vec::new(),
        }
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    /// Adds a paragraph.
    pub fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    /// Adds a table; its first row is the heading.
    pub fn table(&mut self, rows: Vec<Vec<String>>) {
        self.blocks.push(Block::Table(rows));
    }

    /// Adds a table that a script finds by its name.
    pub fn named_table(&mut self, name: &'static str, rows: Vec<Vec<String>>) {
        self.blocks.push(Block::Named(name, rows));
    }

    /// Adds what checks the file where it is read; nothing in Markdown.
    pub fn proved(&mut self, proved: Proved) {
        self.blocks.push(Block::Proved(proved));
    }

    /// Adds text that keeps its lines.
    pub fn code(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Code(text.into()));
    }
}

/// Style of the HTML file: the reader's light or dark, and black on white on paper.
const STYLE: &str = "\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}\
body{max-width:72rem;margin:0 auto;padding:1.5rem}\
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin-top:2rem}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;font-size:.9rem}\
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #8886;vertical-align:top;overflow-wrap:anywhere}\
#checks{list-style:none;padding:0}#checks li{padding:.3rem .7rem;border-left:3px solid #888;margin:.3rem 0;overflow-wrap:anywhere}\
#checks .good{border-color:#2c9a63}#checks .bad{border-color:#d93025;font-weight:600}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:.7rem;border:1px solid #8886;font-size:.82rem}\
@media print{:root{color-scheme:light;font-size:10pt}h2{break-after:avoid}tr{break-inside:avoid}}";

/// The document as one HTML file. Its policy lets in this style by its digest, and the script that checks the
/// file where there is one.
pub fn html(document: &Document) -> String {
    let digest = Digest::of(STYLE.as_bytes());
    let digest = STANDARD.encode(digest.as_bytes());
    let title = escaped(&document.title);
    let proved = |block: &Block| matches!(block, Block::Proved(_));
    let script = match document.blocks.iter().any(proved) {
        true => format!("; {}", Proved::policy()),
        false => String::new(),
    };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'{script}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n"
    );
    for block in &document.blocks {
        match block {
            Block::Heading(text) => out.push_str(&format!("<h2>{}</h2>\n", escaped(text))),
            Block::Text(text) => out.push_str(&format!("<p>{}</p>\n", escaped(text))),
            Block::Code(text) => out.push_str(&format!("<pre>{}</pre>\n", escaped(text))),
            Block::Proved(proved) => out.push_str(&proved.html()),
            Block::Table(rows) | Block::Named(_, rows) => {
                let name = match block {
                    Block::Named(name, _) => format!(" id=\"{name}\""),
                    _ => String::new(),
                };
                out.push_str(&format!(
                    "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"table\"><table{name}>\n"
                ));
                for (at, row) in rows.iter().enumerate() {
                    let cell = |(place, text): (usize, &String)| match (at, place) {
                        (0, _) => format!("<th scope=\"col\">{}</th>", escaped(text)),
                        (_, 0) => format!("<th scope=\"row\">{}</th>", escaped(text)),
                        _ => format!("<td>{}</td>", escaped(text)),
                    };
                    let cells: String = row.iter().enumerate().map(cell).collect();
                    out.push_str(&format!("<tr>{cells}</tr>\n"));
                }
                out.push_str("</table></div>\n");
            }
        }
    }
    out
}

/// A text in HTML: letters alone, no element and no attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

/// The document as Markdown (CommonMark, with the tables of GitHub's).
pub fn markdown(document: &Document) -> String {
    let mut out = format!("# {}\n", literal(&document.title));
    for block in &document.blocks {
        out.push('\n');
        match block {
            Block::Heading(text) => out.push_str(&format!("## {}\n", literal(text))),
            Block::Text(text) => out.push_str(&format!("{}\n", literal(text))),
            Block::Code(text) => {
                let fence = "`".repeat(longest(text, '`').max(2) + 1);
                out.push_str(&format!(
                    "{fence}\n{}\n{fence}\n",
                    text.trim_end_matches('\n')
                ));
            }
            Block::Proved(_) => (),
            Block::Table(rows) | Block::Named(_, rows) => {
                for (at, row) in rows.iter().enumerate() {
                    let cells: Vec<String> = row.iter().map(|text| literal(text)).collect();
                    out.push_str(&format!("| {} |\n", cells.join(" | ")));
                    if at == 0 {
                        out.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
                    }
                }
            }
        }
    }
    out
}

/// A text in Markdown: on one line, with a backslash before each character that would mean something.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

/// The longest run of a letter in a text.
fn longest(text: &str, letter: char) -> usize {
    text.split(|other| other != letter)
        .map(str::len)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Document {
        let mut document = Document::new("<script>alert(1)</script>");
        document.heading("a | b");
        document.text("line\n# no heading, *no* emphasis, [no](link)");
        document.table(vec![
            vec!["head".into(), "<b>".into()],
            vec!["a|b".into(), "\" onclick='x'".into()],
        ]);
        document.code("```\n</pre><img src=x>\n");
        document
    }

    #[test]
    fn html_lets_no_text_out_of_its_place() {
        let text = html(&hostile());
        let body = text.split_once("</style>").unwrap().1;
        for bad in ["<script", "<img", "<b>", "\" onclick"] {
            assert!(!body.contains(bad), "{bad}: {text}");
        }
        assert!(
            body.contains("&lt;script&gt;") && body.contains("<td>&quot; onclick=&#39;x&#39;</td>")
        );
        // Nothing is loaded: the policy names one style by its digest.
        let digest = STANDARD.encode(Digest::of(STYLE.as_bytes()).as_bytes());
        assert!(text.contains(&format!("default-src 'none'; style-src 'sha256-{digest}'")));
    }

    #[test]
    fn a_proved_file_runs_its_own_script_alone() {
        let mut document = hostile();
        let question = "{\"report\":\"</script><script>alert(1)</script>\"}".to_owned();
        document.proved(Proved::new(question, b"\0asm".to_vec()));
        let text = html(&document);
        assert!(text.contains(&Proved::policy()), "{text}");
        // Question, module and script, each ended once.
        assert_eq!(text.matches("</script>").count(), 3);
        assert_eq!(text.matches("<script").count(), 3);
        assert!(text.contains("\\u003c/script>") && text.contains(">AGFzbQ==</script>"));
        assert!(!markdown(&document).contains("asm"));
    }

    #[test]
    fn markdown_keeps_texts_literal() {
        let text = markdown(&hostile());
        assert!(
            text.starts_with("# \\<script\\>alert(1)\\</script\\>\n"),
            "{text}"
        );
        assert!(text.contains("\n## a \\| b\n"));
        assert!(text.contains("line \\# no heading, \\*no\\* emphasis, \\[no\\](link)\n"));
        assert!(
            text.contains("| head | \\<b\\> |\n| --- | --- |\n| a\\|b |"),
            "{text}"
        );
        assert!(
            text.contains("\n````\n```\n</pre><img src=x>\n````\n"),
            "{text}"
        );
    }
}
