#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

/// How a tensor lies over the ranks: replicated, split along one dimension, or a partial sum. The
/// arithmetic of slices has its one home here; planner, executor, cost model and figures all call
/// it.

namespace tplan {

enum class SplitKind {
    whole,   // every rank holds all of it
    chunk,   // torch.chunk: ceil(n / parts) each, a short tail, then empty ranks
    packed,  // each of `blocks` halves cut separately into floor(n / blocks / parts); tail rows are
             // lost (see Violation)
    grouped,  // whole groups of `unit`: ceil-chunked while there are enough, copied when parts pass
              // the groups (KV heads)
};
constexpr auto enum_names(SplitKind) {
    return std::array<std::string_view, 4>{"whole", "chunk", "packed", "grouped"};
}

/// A cut of one dimension into `parts`.
struct Split {
    SplitKind kind = SplitKind::whole;
    int dim = 0;            // which dimension of the tensor; for activations always the columns
    int parts = 1;          // ranks
    int blocks = 2;         // packed: how many halves
    std::int64_t unit = 1;  // grouped: extent of one group

    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("dim", self.dim);
        field("parts", self.parts);
        field("blocks", self.blocks);
        field("unit", self.unit);
    }
    bool operator==(const Split&) const = default;
};

/// A half-open range of a dimension.
struct Slice {
    std::int64_t offset = 0;
    std::int64_t extent = 0;
    bool operator==(const Slice&) const = default;
};

/// What `rank` owns of a dimension of size `n`, in storage order: one slice, two when packed, none
/// when empty. Requires 0 <= rank < split.parts.
std::vector<Slice> slices(const Split& split, std::int64_t n, int rank);

/// Total extent of `slices`: the local size.
std::int64_t local_extent(const Split& split, std::int64_t n, int rank);

/// The largest local size over all ranks: what the slowest rank computes.
std::int64_t largest_extent(const Split& split, std::int64_t n);

enum class LayoutKind { replicated, split, partial };
constexpr auto enum_names(LayoutKind) {
    return std::array<std::string_view, 3>{"replicated", "split", "partial"};
}

/// Where an activation [rows, width] stands between two ops. `split` counts only for
/// LayoutKind::split.
struct Layout {
    LayoutKind kind = LayoutKind::replicated;
    Split split;

    static Layout replicated() { return {}; }
    static Layout partial() { return {LayoutKind::partial, {}}; }
    static Layout columns(const Split& how) { return {LayoutKind::split, how}; }

    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("split", self.split);
    }
    bool operator==(const Layout&) const = default;
};

}  // namespace tplan
