#pragma once
#include <optional>
#include <string>

#include "executor/execute.h"
#include "models/build.h"
#include "planner/lower.h"
#include "tests/support/tiny_configs.h"
#include "tests/support/transformers_logits.h"

/// Tiny models of every family as the executor's tests run them.

namespace tplan::test {

struct TinyModel {
    ModelConfig config;
    Model model;
    explicit TinyModel(const std::string& family)
        : config(read_model_config(tiny_config(family), "tiny " + family)),
          model(build_model(config)) {}

    /// Its program at one degree; nothing where the degree does not work.
    std::optional<Program> program(int tp, Kernels kernels = Kernels::served,
                                   Sampling sampling = PlanOptions{}.sampling) const {
        PlanOptions options;
        options.tp = tp;
        options.kernels = kernels;
        options.sampling = sampling;
        const auto planned = make_plan(config, model, options);
        if (!planned.plan) return std::nullopt;
        return lower(model, *planned.plan, DType::fp32);
    }
};

/// The weights whose logits are on file (transformers_logits.h).
inline WeightSource weights_on_file() {
    return [](const WeightPart& part, float* out) {
        const auto columns = part.shape.back();
        for (std::int64_t r = 0; r < part.rows.extent; ++r) {
            for (std::int64_t c = 0; c < part.columns.extent; ++c) {
                const auto index = (part.rows.offset + r) * columns + part.columns.offset + c;
                out[r * part.stride + c] =
                    static_cast<float>(reference_weight(part.name, part.shape.size() == 1, index));
            }
        }
    };
}

}  // namespace tplan::test
