#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "planner/document.h"

/// A plan as other tools take it.

namespace tplan {

enum class ExportTarget { hf, accelerate, vllm, trtllm, megatron };
constexpr auto enum_names(ExportTarget) {
    return std::array<std::string_view, 5>{"hf", "accelerate", "vllm", "trtllm", "megatron"};
}

/// `tplan.export/1`. `text` is what to put in a file or to run; empty when the target cannot
/// express the plan, and `refusal` says what it is that it cannot.
struct ExportDocument {
    std::string schema = "tplan.export/1";
    ExportTarget target = ExportTarget::hf;
    std::string model;
    int tp = 1;
    std::string text;
    std::string refusal;
    std::optional<TpPlan> tp_plan;        // hf: the dictionary alone, as --tp-plan reads it
    std::vector<std::string> deviations;  // what the target runs otherwise than the plan
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("target", self.target);
        field("model", self.model);
        field("tp", self.tp);
        field("text", self.text);
        field("refusal", self.refusal);
        field("tp_plan", self.tp_plan);
        field("deviations", self.deviations);
    }
};

/// Exports a plan. Throws Error when the plan's own configuration cannot be read.
ExportDocument export_plan(const PlanDocument& plan, ExportTarget target);

/// The plan that a file holds, validated or not.
ExportDocument export_file(const std::string& path, ExportTarget target);

/// What goes into a file of that name: the dictionary alone for "x.json" of a plan for
/// transformers, the text otherwise.
std::string export_text(const ExportDocument& document, const std::string& path);

}  // namespace tplan
