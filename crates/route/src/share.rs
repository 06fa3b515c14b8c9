//! Weighted order by RFC 2782: by priority, then at random in proportion to the weights.

/// Orders `items` by `rank`, lowest first, and items of equal rank by weighted random choice. `pick(total)` returns a
/// random number below `total`.
pub fn ordered<T, R: Ord + Copy>(
    mut items: Vec<T>,
    rank: impl Fn(&T) -> R,
    weight: impl Fn(&T) -> u16,
    pick: &mut dyn FnMut(u32) -> u32,
) -> Vec<T> {
    // Items of weight 0 come first within their rank, which gives them a small chance (RFC 2782).
    items.sort_by_key(|item| (rank(item), weight(item) != 0));
    let mut ordered = Vec::with_capacity(items.len());
    while let Some(first) = items.first().map(&rank) {
        let equals = items.iter().take_while(|item| rank(item) == first).count();
        let total = items.iter().take(equals).map(|item| u32::from(weight(item))).fold(0, u32::saturating_add);
        let chosen = if equals == 1 { 0 } else { weighted(&items, equals, &weight, pick(total.saturating_add(1))) };
        ordered.push(items.remove(chosen));
    }
    ordered
}

/// Returns the index, among the first `equals` items, at which the running sum of weights reaches `number`.
fn weighted<T>(items: &[T], equals: usize, weight: &impl Fn(&T) -> u16, number: u32) -> usize {
    let mut sum = 0_u32;
    for (at, item) in items.iter().take(equals).enumerate() {
        sum = sum.saturating_add(u32::from(weight(item)));
        if sum >= number {
            return at;
        }
    }
    equals.saturating_sub(1)
}
