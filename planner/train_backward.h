#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "models/program.h"

/// The backward pass of one section: one rule per kind of op, collectives as transposes of the
/// forward ones.

namespace tplan {

/// The gradient of a value: where it lies, and whether every rank holds only a part of the sum.
/// Values whose gradients are the same may share a buffer: nothing is written over what another
/// value still needs.
struct GradientState {
    int buffer = -1;  // -1: nothing has reached it yet
    bool partial = false;
};

/// Writes the backward section of `forward`, which must be in `program` with every value in a
/// buffer of its own. `outgoing` are the buffers whose gradients come from the section that runs
/// after it. A replicated value that the ranks read to compute parts of something else gets a
/// partial gradient: it is all-reduced where it arises (the hook of the module), unless a gather
/// made the value; then the sum of all parts is reduce-scattered. Buffers for gradients are added
/// to the program.
Section backward_section(Program& program, const Section& forward, const std::vector<int>& outgoing,
                         Recompute recompute);

/// The buffer of the gradient of another, or that of its `contribution` to a sum; added when it is
/// not there yet.
int gradient_buffer(Program& program, int of, int contribution = 0);

/// Is the value one of the list?
inline bool contains(const std::vector<int>& list, int value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace tplan
