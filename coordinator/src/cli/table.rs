//! Tables for people: a heading, columns that line up, nothing at the ends of lines.

/// On which side of its column a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Numbers, so that their digits line up.
    Right,
}

/// Rows under a heading.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    columns: [(&'static str, Side); COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub(super) const fn new(columns: [(&'static str, Side); COLUMNS]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    /// The heading, then the rows.
    pub(super) fn lines(&self) -> Vec<String> {
        let heading = self.columns.map(|(name, _)| name.to_owned());
        let mut widths = [0; COLUMNS];
        for row in std::iter::once(&heading).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        std::iter::once(&heading).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
        let mut line = String::new();
        for ((cell, (_, side)), width) in row.iter().zip(self.columns).zip(widths) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) = if side == Side::Left { ("", &*gap) } else { (&*gap, "") };
            for part in [before, cell, after, "  "] {
                line.push_str(part);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let mut table = Table::new([("NAME", Side::Left), ("CREDITS", Side::Right), ("LABEL", Side::Left)]);
        table.row(["wallet".into(), "1.016".into(), "Zürich".into()]);
        table.row(["x".into(), "12345.000".into(), String::new()]);
        assert_eq!(
            table.lines(),
            ["NAME      CREDITS  LABEL", "wallet      1.016  Zürich", "x       12345.000"]
        );
    }
}
