#pragma once
#include <cstdint>
#include <vector>

#include "models/program.h"

/// What the ops of the scalar reference work on. Part of reference.cpp.

namespace tplan::reference {

inline std::size_t at(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// [rows, columns]
struct Value {
    std::int64_t rows = 0, columns = 0;
    std::vector<double> data;
    Value() = default;
    Value(std::int64_t r, std::int64_t c) : rows(r), columns(c), data(at(r * c)) {}
    double& operator()(std::int64_t r, std::int64_t c) { return data[at(r * columns + c)]; }
    double operator()(std::int64_t r, std::int64_t c) const { return data[at(r * columns + c)]; }
};

/// One op with its values; weights as matrices, a vector being one row.
struct Call {
    const Op& op;
    const Workload& workload;
    const std::vector<std::int32_t>& tokens;
    std::uint64_t seed;
    int layer;
    std::vector<const Value*> in;
    std::vector<Value> weights;
    std::vector<Value*> out;

    /// Position in its sequence of the token in a row.
    std::int64_t position(std::int64_t row) const {
        const auto query = workload.query_tokens();
        return workload.cached_tokens() - query + row % query;
    }
};

/// act(gate) * up; gpt_oss's clamped_swiglu as transformers has it.
double gated(ActivationKind kind, double gate, double up);
/// Throws Error for clamped_swiglu, which is of gate and up together.
double activated(ActivationKind kind, double x);

/// in {x}; weights {weight, bias or correction?}; out the weight of each expert in a row's sum.
void moe_router(Call& c);
/// in {x, router}; weights {gate_up, down, gate_up bias?, down bias?}, experts below one another.
void moe_experts(Call& c);

}  // namespace tplan::reference
