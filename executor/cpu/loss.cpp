#include "executor/cpu/loss.h"

#include <algorithm>
#include <cmath>

#include "executor/cpu/simd.h"

namespace tplan::cpu {
namespace {

/// Local column of a row's label; -1 where another rank has it or there is none.
struct Label {
    bool exists = false;
    std::int64_t column = -1;
};

Label label_of(const BoundStep& s, std::int64_t row) {
    const auto token = s.first_row + row;
    if ((token + 1) % s.query_tokens == 0) return {};
    const std::int64_t id = s.token_ids[token + 1];
    std::int64_t begin = 0;
    for (const auto& slice : s.columns) {
        if (id >= slice.offset && id < slice.offset + slice.extent)
            return {true, begin + id - slice.offset};
        begin += slice.extent;
    }
    return {true, -1};
}

double labels_of(const BoundStep& s) {
    return static_cast<double>(s.batch * (s.query_tokens - 1));
}

/// Every rank fills its own column of the maxima: their sum over the ranks holds all.
void upcast(const BoundStep& s) {
    const auto &logits = s.inputs[0], &wide = s.outputs[0], &maxima = s.outputs[1];
    const auto own = maxima.columns > 1 ? s.rank : 0;
    for (std::int64_t r = 0; r < wide.rows; ++r) {
        std::copy_n(logits.row(r), wide.columns, wide.row(r));
        std::fill_n(maxima.row(r), maxima.columns, 0.0F);
        // A rank without columns has no maximum: any logit of another's will do.
        maxima.row(r)[own] = wide.columns > 0 ? simd().largest(wide.row(r), wide.columns) : -1e30F;
    }
}

void exponentials(const BoundStep& s) {
    const auto &in = s.inputs[0], &maxima = s.inputs[1];
    const auto &out = s.outputs[0], &label = s.outputs[1], &sum = s.outputs[2];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        const float top = simd().largest(maxima.row(r), maxima.columns);
        const auto of = label_of(s, r);
        label.row(r)[0] = of.column >= 0 ? in.row(r)[of.column] - top : 0.0F;
        sum.row(r)[0] =
            static_cast<float>(simd().exponentials(in.row(r), top, out.row(r), out.columns));
    }
}

void gradient(const BoundStep& s) {
    const auto &in = s.inputs[0], &label = s.inputs[1], &sum = s.inputs[2];
    const auto &out = s.outputs[0], &loss = s.outputs[1];
    const double share = 1 / labels_of(s);
    for (std::int64_t r = 0; r < out.rows; ++r) {
        const auto of = label_of(s, r);
        const double total = double{sum.row(r)[0]};
        loss.row(r)[0] =
            of.exists ? static_cast<float>(std::log(total) - double{label.row(r)[0]}) : 0.0F;
        const double factor = of.exists ? share / total : 0;
        simd().multiply(in.row(r), static_cast<float>(factor), out.row(r), out.columns);
        if (of.column >= 0) out.row(r)[of.column] -= static_cast<float>(share);
    }
}

void downcast(const BoundStep& s) {
    for (std::int64_t r = 0; r < s.outputs[0].rows; ++r)
        std::copy_n(s.inputs[0].row(r), s.outputs[0].columns, s.outputs[0].row(r));
}

}  // namespace

void run_loss(const BoundStep& step) {
    switch (*step.step->loss) {
        case LossPart::upcast:
            return upcast(step);
        case LossPart::exponentials:
            return exponentials(step);
        case LossPart::gradient:
            return gradient(step);
        case LossPart::downcast:
            return downcast(step);
    }
}

}  // namespace tplan::cpu
