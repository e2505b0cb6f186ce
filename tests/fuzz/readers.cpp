#include "tests/fuzz/readers.h"

#include <array>
#include <stdexcept>

#include "app/plan_file.h"
#include "app/validated.h"
#include "app/validated_check.h"
#include "core/json_io.h"
#include "cost_model/hardware.h"
#include "models/build.h"
#include "models/config.h"
#include "models/program.h"
#include "planner/check.h"
#include "planner/document.h"
#include "planner/tp_plan.h"
#include "tests/support/tiny_configs.h"

namespace tplan::test {
namespace {

/// A program of one section that uses every optional part of a step once.
Program small_program() {
    const Split halves{.kind = SplitKind::chunk, .parts = 2};
    Program program;
    program.tp = 2;

    auto& weight = program.tensors.emplace_back();
    weight.name = "model.layers.*.self_attn.q_proj.weight";
    weight.shape = {8, 8};
    weight.split = halves;
    weight.style = "colwise";

    program.buffers.resize(2);
    program.buffers[0].name = "hidden";
    program.buffers[1].name = "q";
    program.buffers[1].layout = Layout::columns(halves);

    auto& section = program.sections.emplace_back();
    section.name = "layer";
    section.layers = {0, 1};
    auto& step = section.steps.emplace_back();
    step.name = "self_attn.q_proj";
    step.inputs = {0};
    step.outputs = {1};
    step.weights = {{.tensor = 0}};
    step.n = 4;
    step.k = 8;
    step.weight_bytes = 64;
    step.spec.norm.emplace();
    step.spec.rope.emplace();
    step.spec.attention.emplace();
    step.spec.moe.emplace();
    step.spec.activation = ActivationKind::silu;

    program.order = {0, 0};
    program.order_layer = {0, 1};
    return program;
}

void read_program(std::string_view text) {
    const auto program = from_json<Program>(parse_json(text, "program.json"), "program.json");
    if (from_json<Program>(to_json(program), "again") != program)
        throw std::logic_error("a program that was read is written differently");
}

std::vector<std::string> programs() {
    return {json_text(small_program())};
}

void read_config(std::string_view text) {
    const auto config = read_model_config(parse_json(text, "config.json"), "config.json");
    if (!config.family.empty()) parameter_count(build_model(config));
}

std::vector<std::string> configs() {
    std::vector<std::string> texts;
    for (const auto& preset : preset_names())
        texts.push_back(load_model_config(preset).document.dump());
    return texts;
}

void read_profile(std::string_view text) {
    const auto profile = read_hardware(parse_json(text, "hardware.json"), "hardware.json");
    if (read_hardware(to_json(profile), "again") != profile)
        throw std::logic_error("a profile that was read is written differently");
}

std::vector<std::string> profiles() {
    std::vector<std::string> texts;
    for (const auto& name : hardware_names()) texts.push_back(json_text(load_hardware(name)));
    return texts;
}

void read_plan_document(std::string_view text) {
    check_plan(parse_json(text, "plan.json"), "plan.json");
}

std::vector<std::string> plans() {
    const auto config = read_model_config(tiny_config("qwen3"), "tiny");
    PlanRequest request;
    request.plan.tp = 2;
    request.workload.input = request.workload.context = 16;
    const auto plan = make_plan_document(config, load_hardware("h100-sxm"), request);
    return {json_text(plan.document.value())};
}

void read_plan_by_hand(std::string_view text) {
    const auto plan = read_tp_plan(parse_json(text, "by_hand.json"), "by_hand.json");
    for (const auto& [pattern, style] : plan) match_parameter(plan, pattern);
    PlanOptions options;
    options.tp = 2;
    options.tp_plan = plan;
    const auto config = read_model_config(tiny_config("llama"), "tiny");
    make_plan(config, build_model(config), options);
}

std::vector<std::string> plans_by_hand() {
    return {R"({"layers.*.mlp.up_proj": "colwise", "layers.*.mlp.gate_proj": "local_colwise",
                "layers.*.mlp.down_proj": "rowwise", "lm_head": "colwise_rep"})"};
}

void read_validated(std::string_view text) {
    const auto file = take_apart(parse_json(text, "validated.json"), "validated.json");
    if (!file.validation) throw Error("validated.json", "is no validated plan");
    check_plan_file(file, "validated.json");
}

/// A plan with measurements that nobody made.
std::vector<std::string> validated_plans() {
    const auto document = parse_json(plans().front(), "plan");
    const auto plan = read_plan(document, "plan");
    Validation validation;
    auto& measured = validation.measured;
    measured.backend = "cpu";
    measured.layers = 2;
    for (const double time : {1.0, 1.1, 0.9, 1.05})
        measured.step_samples.push_back({Seconds(time * plan.predicted.step.value), true});
    measured.step_tp1_samples = {{Seconds(2e-3), true}, {Seconds(2.1e-3), true}};
    for (const auto& op : plan.predicted.ops) {
        measured.op_samples.push_back({.id = op.id,
                                       .times = std::vector<Seconds>(4, op.time),
                                       .waits = std::vector<Seconds>(4),
                                       .clean = "cccp"});
    }
    validation.numerics.ranks_agree = true;
    validation.numerics.reference = {{.what = "small copy", .max_abs_diff = 1e-7, .largest = 1}};
    derive(plan, validation);
    return {write_validated(plan, validation).dump()};
}

// A new reader is a row: tests/fuzz/mutations.cpp and the libFuzzer targets walk this table.
constexpr std::array kReaders = {
    Reader{"config", read_config, configs},
    Reader{"program", read_program, programs},
    Reader{"hardware", read_profile, profiles},
    Reader{"plan", read_plan_document, plans},
    Reader{"tp_plan", read_plan_by_hand, plans_by_hand},
    Reader{"validated", read_validated, validated_plans},
};

}  // namespace

std::span<const Reader> readers() {
    return kReaders;
}

const Reader& find_reader(std::string_view name) {
    for (const auto& reader : kReaders) {
        if (reader.name == name) return reader;
    }
    throw std::runtime_error("no reader is called " + std::string(name));
}

}  // namespace tplan::test
