//! Jumps inside a listing of instructions, as arrows in a column beside it.

use crate::base::addr::Addr;
use std::collections::BTreeMap;

/// One row of a listing: where its instruction is and, if it jumps, where to.
pub type Row = (Addr, Option<Addr>);

/// All jumps to one row: they share a line.
struct Lane {
    target: usize,
    sources: Vec<usize>,
    /// The first and last row of the line.
    reach: (usize, usize),
    /// Its column; 0 is next to the instructions.
    column: usize,
}

/// For each row the arrows beside it, all of one width, which is at most
/// `most` columns and two more; empty when nothing jumps to a row of the
/// listing. Short jumps are next to the instructions; long ones that find no
/// column are left out.
pub fn arrows(rows: &[Row], most: usize) -> Vec<String> {
    let lanes = lanes(rows, most);
    let Some(columns) = lanes.iter().map(|lane| lane.column + 1).max() else {
        return vec![String::new(); rows.len()];
    };
    let mut grid = vec![vec![' '; columns + 2]; rows.len()];
    for lane in &lanes {
        let at = columns - 1 - lane.column;
        let (first, last) = lane.reach;
        for row in &mut grid[first..=last] {
            row[at] = if row[at] == '─' { '┼' } else { '│' };
        }
        for &end in lane.sources.iter().chain([&lane.target]) {
            let row = &mut grid[end];
            row[at] = match end {
                _ if end == first => '╭',
                _ if end == last => '╰',
                _ => '├',
            };
            for cell in &mut row[at + 1..=columns] {
                *cell = match *cell {
                    '│' => '┼',
                    '╭' => '┬',
                    '╰' => '┴',
                    ' ' => '─',
                    other => other,
                };
            }
        }
    }
    for lane in &lanes {
        grid[lane.target][columns] = '▶';
    }
    grid.into_iter().map(|row| row.into_iter().collect()).collect()
}

fn lanes(rows: &[Row], most: usize) -> Vec<Lane> {
    let places: BTreeMap<Addr, usize> = rows.iter().enumerate().map(|(i, r)| (r.0, i)).collect();
    let mut to: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (source, (_, jump)) in rows.iter().enumerate() {
        if let Some(&target) = jump.and_then(|jump| places.get(&jump)) {
            to.entry(target).or_default().push(source);
        }
    }
    let mut lanes: Vec<Lane> = to
        .into_iter()
        .map(|(target, sources)| {
            let ends = || sources.iter().copied().chain([target]);
            let reach = (ends().min().unwrap_or(target), ends().max().unwrap_or(target));
            Lane { target, sources, reach, column: 0 }
        })
        .collect();
    lanes.sort_by_key(|lane| (lane.reach.1 - lane.reach.0, lane.target));
    // By column: the rows that are taken.
    let mut taken: Vec<Vec<(usize, usize)>> = vec![Vec::new(); most];
    lanes.retain_mut(|lane| {
        let (first, last) = lane.reach;
        let free = |column: &Vec<(usize, usize)>| column.iter().all(|t| t.1 < first || last < t.0);
        let Some(column) = taken.iter().position(free) else { return false };
        taken[column].push(lane.reach);
        lane.column = column;
        true
    });
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(jumps: &[Option<u64>]) -> Vec<Row> {
        (0..).zip(jumps).map(|(at, jump)| (Addr(at), jump.map(Addr))).collect()
    }

    #[test]
    fn short_jumps_are_inside_and_jumps_to_one_place_share_a_line() {
        let jumps = [None, Some(3), Some(5), None, Some(0), None, Some(5), Some(99)];
        let drawn = arrows(&rows(&jumps), 6);
        assert_eq!(
            drawn.join("\n"),
            [" ╭─▶ ", " │╭─ ", "╭┼┼─ ", "││╰▶ ", "│╰── ", "├──▶ ", "╰─── ", "     "].join("\n")
        );
    }

    #[test]
    fn jumps_without_a_free_column_are_left_out() {
        let crossing = [Some(3), Some(4), Some(5), None, None, None];
        let drawn = arrows(&rows(&crossing), 2);
        assert!(drawn.iter().all(|row| row.chars().count() == 4), "{drawn:?}");
        assert_eq!(drawn[5], "    ");
        assert_eq!(arrows(&rows(&[None, None]), 2), ["", ""]);
        let own = arrows(&rows(&[Some(0)]), 2);
        assert_eq!(own, ["╭▶ "], "a jump to itself");
    }
}
