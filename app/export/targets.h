#pragma once
#include "app/export/export.h"

namespace tplan {

/// A plan with its graph, as the exporters look at it.
struct ExportedPlan {
    const PlanDocument& plan;
    ModelConfig config;
    Model model;  // blocks split where layers differ
    Plan layout;  // flows filled in for a searched plan
    bool searched = false;
};

// One function per target (app/export/<target>.cpp). Each fills in text, or refusal.
void export_hf(const ExportedPlan& plan, ExportDocument& out);
void export_accelerate(const ExportedPlan& plan, ExportDocument& out);
void export_vllm(const ExportedPlan& plan, ExportDocument& out);
void export_trtllm(const ExportedPlan& plan, ExportDocument& out);
void export_megatron(const ExportedPlan& plan, ExportDocument& out);

/// The dictionary that makes transformers run the plan. Empty, with the refusal filled in, when
/// none does: it is planned again from the dictionary and compared with the plan.
TpPlan hf_tp_plan(const ExportedPlan& plan, ExportDocument& out);

/// "bfloat16": torch's name of a dtype that it computes in.
std::string_view torch_dtype(DType dtype);

/// Python that loads the model with these rules and no others, and ends when it runs others; a
/// training plan's in fp32. `mesh`: an expression of the device mesh to load onto, which has the
/// plan's groups; empty: one TP group of all processes. loading_imports is what it needs.
std::string loading_imports(const PlanDocument& plan);
std::string loading_lines(const PlanDocument& plan, const TpPlan& rules, std::string_view mesh);

/// What a serving engine with one fixed layout (column and row products, vocabulary-parallel
/// embedding and head, norms whole) runs otherwise than the plan; fills in the refusal for a degree
/// that it cannot run. `tokens_too`: it can keep norms on own rows.
void compare_with_engine(const ExportedPlan& plan, const char* engine, bool tokens_too,
                         ExportDocument& out);

/// Does any layer hold whole experts?
bool splits_experts(const ExportedPlan& plan);

/// Does the head gather candidates of every rank instead of logits?
bool gathers_candidates(const ExportedPlan& plan);

}  // namespace tplan
