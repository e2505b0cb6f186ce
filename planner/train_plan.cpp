#include "planner/train_plan.h"

#include <algorithm>

#include "planner/lower.h"
#include "planner/train.h"

namespace tplan {
namespace {

/// The step of a forward program, priced.
PlannedTraining price_step_of(Model model, Plan plan, const Program& forward,
                              const HardwareProfile& hardware, const PlanRequest& request) {
    const auto& training = *request.training;
    PlannedTraining made;
    made.planned.program = training_program(forward, training, request.plan.kernels);
    made.planned.model = std::move(model);
    made.planned.plan = std::move(plan);
    const auto& program = made.planned.program;
    const auto compiled = compile(program, hardware, request.cost);
    const auto memory = training_memory(program, training, hardware, request.cost);
    const auto price = price_training(compiled, memory, training, request.workload);
    made.planned.totals = price.totals;
    made.link = compiled.link;
    made.substitutes = compiled.notes;
    return made;
}

Violation untrainable(const ModelConfig& config, const std::string& fault) {
    return {"op_unsupported", config.model_type, "weights of 16 or 32 bits, no copies of heads",
            fault,
            "this cannot be trained; use the unquantised checkpoint, at a degree that "
            "divides the KV heads"};
}

/// Transformers' own layout.
TrainingResult plan_hf(const ModelConfig& config, const Model& model,
                       const HardwareProfile& hardware, const PlanRequest& request) {
    auto options = request.plan;
    options.layout = LayoutChoice::hf;
    auto planned = make_plan(config, model, options);
    TrainingResult result{{}, std::move(planned.feasibility)};
    if (!planned.plan) return result;
    const auto forward = lower(model, *planned.plan, request.workload.dtype);
    if (const auto fault = training_fault(forward); !fault.empty()) {
        result.feasibility.feasible = false;
        result.feasibility.violations.push_back(untrainable(config, fault));
        return result;
    }
    result.training = price_step_of(model, std::move(*planned.plan), forward, hardware, request);
    return result;
}

/// The layout whose forward pass of the same tokens is fastest, where it can be trained.
std::optional<PlannedTraining> plan_forward_optimum(const Model& model,
                                                    const HardwareProfile& hardware,
                                                    const PlanRequest& request) {
    auto prefill = request.workload;
    prefill.phase = Phase::prefill;
    auto found = search_layout(model, request.plan, hardware, request.cost, prefill);
    if (!training_fault(found.program).empty()) return std::nullopt;
    auto made = price_step_of(std::move(found.laid_out.model), std::move(found.laid_out.plan),
                              found.program, hardware, request);
    made.planned.layout = std::move(found.layout);
    return made;
}

/// Fits before does not, then the time.
bool is_better(const PlannedTraining& one, const PlannedTraining& other) {
    const auto& a = one.planned.totals;
    const auto& b = other.planned.totals;
    if (a.memory.fits != b.memory.fits) return a.memory.fits;
    return a.step < b.step;
}

/// What the numbers leave out.
void add_notes(PlannedTraining& made, const HardwareProfile& hardware, const PlanRequest& request) {
    const auto& training = *request.training;
    const auto& mesh = training.mesh;
    auto& notes = made.notes;
    if (hardware.backend == "cpu") {
        notes.emplace_back("times are those of `tplan run`: kernels and collectives one by one");
    } else {
        notes.emplace_back(
            "times are of an isolated step: kernels and collectives alone, without the host "
            "between them, data loading and ranks that wait for a slower one; published steps "
            "take 1.4 to 2 times as long, which the interval's upper end allows for");
    }
    notes.emplace_back(
        "no backward kernel is in the measured rows: forward formulas are carried over, with twice "
        "their intervals");
    if (mesh.dp_shard > 1) {
        notes.emplace_back(
            "gathers and reductions of parameters run beside compute; that they take SMs and "
            "memory bandwidth from it is not counted");
        if (training.accumulate > 1) {
            notes.emplace_back(
                "gradients are reduced every micro-batch (accelerate: sync_each_batch=True); its "
                "default keeps them whole on every rank until the last one");
        }
    }
    if (mesh.tp > 1 && mesh.dp_shard > 1 && request.plan.transformers == Transformers::v5_16) {
        notes.emplace_back(
            "transformers 5.16 and 5.17 take fsdp_size beside tp_size and cut by TP alone, and "
            "accelerate 1.15 cannot prepare that: `tplan export --to accelerate` shards with "
            "torch there; transformers shards itself from 5.18 on");
    }
    if (request.plan.kernels == Kernels::served && mesh.tp > 1) {
        notes.emplace_back(
            "kernels served: fused projections and a vocabulary-parallel loss, as Megatron runs "
            "them; --kernels hf prices transformers' modules and their hooks");
    }
}

/// "transformers' modules take 1.2 s a step (+8.1 %)": the same mesh run the other way.
std::string other_kernels(const ModelConfig& config, const HardwareProfile& hardware,
                          const PlanRequest& request, Seconds step) {
    auto other = request;
    const bool hf = request.plan.kernels == Kernels::hf;
    other.plan.kernels = hf ? Kernels::served : Kernels::hf;
    other.plan.layout = LayoutChoice::hf;
    const auto result = plan_training(config, hardware, other);
    if (!result.training) return {};
    const auto takes = result.training->planned.totals.step;
    return fmt::format("; {} {} a step ({:+.1f} %)",
                       hf ? "fused projections and a vocabulary-parallel loss would take"
                          : "transformers' modules and hooks, which accelerate runs, take",
                       format_time(takes), 100 * (takes / step - 1));
}

}  // namespace

Model planned_model(const ModelConfig& config, const PlanRequest& request) {
    auto model = build_model(config);
    return request.training ? training_model(std::move(model)) : model;
}

TrainingResult plan_training(const ModelConfig& config, const HardwareProfile& hardware,
                             const PlanRequest& request) {
    const auto model = planned_model(config, request);
    auto result = plan_hf(config, model, hardware, request);
    std::string layout;
    if (is_searched(request.plan) && request.plan.tp > 1) {
        auto other = plan_forward_optimum(model, hardware, request);
        const bool better = other && (!result.training || is_better(*other, *result.training));
        layout = better ? "the layout whose forward pass is fastest"
                 : !other
                     ? "transformers' own; the one fastest forward cannot be trained here"
                     : "transformers' own, which trains no slower than the one fastest forward";
        if (better) {
            result.training = std::move(*other);
            result.feasibility = {};
        }
    }
    if (!result.training) {
        result.feasibility.remedies.clear();  // they are of serving
        return result;
    }
    if (!layout.empty())
        result.training->notes.push_back("layouts of training are not searched: this is " + layout);
    add_notes(*result.training, hardware, request);
    return result;
}

Estimate training_estimate(const std::string& model, const PlannedTraining& made,
                           const HardwareProfile& hardware, const PlanRequest& request) {
    auto estimate = make_estimate(model, made.planned.program, hardware, request.plan, request.cost,
                                  request.workload, request.training);
    estimate.notes.insert(estimate.notes.begin(), made.notes.begin(), made.notes.end());
    return estimate;
}

PlanResult make_training_document(const ModelConfig& config, const HardwareProfile& hardware,
                                  const PlanRequest& request) {
    PlanResult result;
    auto made = plan_training(config, hardware, request);
    result.feasibility = made.feasibility;
    if (!made.training) return result;
    const auto& planned = made.training->planned;
    auto& document = result.document.emplace(
        document_of(config, hardware, request, request.training->mesh, planned));
    document.predicted = training_estimate(config.source, *made.training, hardware, request);
    const auto& totals = planned.totals;
    document.why =
        fmt::format("the mesh {} was asked for ({} GPUs): {} a step, {:.0f} tokens/s of all{}",
                    mesh_text(document.mesh), document.mesh.ranks(), format_time(totals.step),
                    totals.tokens_per_s, other_kernels(config, hardware, request, totals.step));
    if (!planned.layout.empty()) document.layout = planned.layout;
    append_notes(document, config, planned);
    return result;
}

void require_training(const PlanRequest& request, const std::string& where) {
    const auto place = [&](const char* flag, const char* key) {
        return where.empty() ? std::string(flag) : where + "/" + key;
    };
    const bool train = request.workload.phase == Phase::train;
    if (train != request.training.has_value()) {
        throw Error(place("--phase", "training"),
                    train ? "phase train without its mesh" : "a training mesh in another phase",
                    train ? "give --mesh or --tp" : "use --phase train");
    }
    if (!train) return;
    const auto& training = *request.training;
    const auto& mesh = training.mesh;
    constexpr std::int64_t kMost = std::int64_t{1} << 20;
    const auto size = [&](const char* flag, const char* key, const std::string& shown,
                          std::int64_t value) {
        if (value >= 1 && value <= kMost) return;
        throw Error(place(flag, key), shown + " is out of range",
                    fmt::format("give an integer from 1 to {}", kMost));
    };
    for (const int extent : {mesh.dp_replicate, mesh.dp_shard, mesh.tp})
        size("--mesh", "training/mesh", mesh_text(mesh), extent);
    size("--accumulate", "training/accumulate", std::to_string(training.accumulate),
         training.accumulate);
    if (mesh.tp != request.plan.tp) {
        throw Error(place("--mesh", "training/mesh/tp"),
                    fmt::format("tp={}, but --tp {}", mesh.tp, request.plan.tp),
                    "give the TP degree once");
    }
    if (mesh.tp > 1 && mesh.dp_replicate > 1 && mesh.dp_shard == 1) {
        throw Error(place("--mesh", "training/mesh"),
                    "accelerate joins replicas to TP only through shards",
                    "give dp_shard above 1 besides, or dp_shard instead of dp_replicate");
    }
    if (request.plan.sampling != Sampling::logits) {
        throw Error(
            place("--sampling", "plan/sampling"),
            fmt::format("{}, but training chooses no tokens", name_of(request.plan.sampling)),
            "use logits");
    }
    if (bytes_of(request.workload.dtype) < 2) {
        throw Error(place("--dtype", "workload/dtype"),
                    fmt::format("training in {} is not modelled", name_of(request.workload.dtype)),
                    "use bf16, fp16 or fp32");
    }
    const auto& collectives = request.cost.collectives.value;
    if (collectives == CollectiveImpl::vllm || collectives == CollectiveImpl::trtllm) {
        throw Error(place("--collectives", "cost/collectives"),
                    fmt::format("{} serves, it does not train", name_of(*collectives)), "use nccl");
    }
}

}  // namespace tplan
