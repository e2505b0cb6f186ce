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

/// What a serving engine with one fixed layout (column and row products, vocabulary-parallel
/// embedding and head, norms whole) runs otherwise than the plan; fills in the refusal for a degree
/// that it cannot run. `tokens_too`: it can keep norms on own rows.
void compare_with_engine(const ExportedPlan& plan, const char* engine, bool tokens_too,
                         ExportDocument& out);

/// What of a training plan accelerate does otherwise, as deviations; and the Accelerator with all
/// that the plan fixes besides the mesh.
void note_training(const PlanDocument& plan, ExportDocument& out);
std::string training_accelerator(const PlanDocument& plan);

/// The processes of a mesh for torchrun: "--nproc-per-node 8", "--nnodes 2 --nproc-per-node 8".
std::string torchrun_flags(const PlanDocument& plan);

/// What Megatron takes of a training plan besides the degree. It recomputes in another way where
/// the plan does so selectively, which is a deviation.
std::string megatron_training_flags(const PlanDocument& plan, ExportDocument& out);

/// Does any layer hold whole experts?
bool splits_experts(const ExportedPlan& plan);

/// Does the head gather candidates of every rank instead of logits?
bool gathers_candidates(const ExportedPlan& plan);

}  // namespace tplan
