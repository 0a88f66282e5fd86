//! Tables for people.

use std::fmt::Write;

/// Where a column's texts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Lays out rows under their headings, in columns that are as wide as what is in them.
pub(super) fn table<const N: usize>(headings: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let texts = rows.iter().map(|row| row[column].as_str()).chain([headings[column].0]);
        texts.map(|text| text.chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = core::array::from_fn(width);
    let mut table = String::new();
    for row in [headings.map(|(text, _)| text.to_owned())].iter().chain(rows) {
        let mut line = String::new();
        for ((text, width), (_, side)) in row.iter().zip(widths).zip(headings) {
            // Writing to a string cannot fail.
            let _ = match side {
                Side::Left => write!(line, "{text:<width$}  "),
                Side::Right => write!(line, "{text:>width$}  "),
            };
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["a".to_owned(), "10".to_owned()], ["longer".to_owned(), "9".to_owned()]];
        let headings = [("NAME", Side::Left), ("N", Side::Right)];
        assert_eq!(table(headings, &rows), "NAME     N\na       10\nlonger   9\n");
    }
}
