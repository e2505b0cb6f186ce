#include "planner/search.h"

#include "cost_model/hardware.h"
#include "planner/planned_program.h"
#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

Workload decode(std::int64_t batch) {
    Workload workload;
    workload.batch = batch;
    return workload;
}

Workload prefill(std::int64_t tokens) {
    Workload workload;
    workload.phase = Phase::prefill;
    workload.input = tokens;
    return workload;
}

LayoutResult best_of(const std::string& preset, int tp, const HardwareProfile& hardware,
                     const Workload& workload, const std::string& link = {}) {
    const auto config = load_model_config(preset);
    const auto model = build_model(config);
    CostOptions cost;
    cost.link = link;
    return search_layout(model, options_for(tp, LayoutChoice::best, Kernels::served), hardware,
                         cost, workload);
}

/// The choice of an op in a layer.
std::string choice(const LayoutResult& result, const std::string& op, int layer) {
    for (const auto& entry : result.layout) {
        if (std::find(entry.layers.begin(), entry.layers.end(), layer) == entry.layers.end())
            continue;
        for (const auto& [name, chosen] : entry.ops) {
            if (name == op) return chosen;
        }
    }
    return "no such op";
}

/// Links so fast or so slow that nothing else counts.
HardwareProfile with_links(double factor) {
    auto hardware = load_hardware("h100-sxm");
    for (auto& link : hardware.links) {
        link.bandwidth = link.bandwidth * factor;
        link.latency = link.latency / factor;
        link.base_latency = link.base_latency / factor;
        link.algorithms.clear();  // by bandwidth and latency alone
    }
    return hardware;
}

}  // namespace

TEST_CASE("search: with free links everything large is cut as Megatron does") {
    const auto best = best_of("llama-3.1-8b", 8, with_links(1e6), decode(16));
    CHECK(choice(best, "self_attn.q_proj", 5) == "out");
    CHECK(choice(best, "self_attn.k_proj", 5) == "out");
    CHECK(choice(best, "self_attn.attention", 5) == "heads");
    CHECK(choice(best, "self_attn.o_proj", 5) == "in");
    CHECK(choice(best, "mlp.gate_proj", 5) == "out");
    CHECK(choice(best, "mlp.down_proj", 5) == "in");
    CHECK(choice(best, "lm_head", -1) == "out");
    CHECK(best.certificate.gap == 0);
}

TEST_CASE("search: with useless links every rank does everything") {
    const auto best = best_of("llama-3.2-1b", 8, with_links(1e-6), decode(16));
    for (const auto& section : best.program.sections) {
        for (const auto& step : section.steps) CHECK_FALSE(is_collective(step.kind));
    }
}

TEST_CASE("search: layers that reduce run own rows in a long prefill") {
    // Two reduce-scatters and two gathers move what two all-reduces move, and norms and additions
    // are shared: sequence parallelism, or cheaper still.
    const auto best = best_of("llama-3.1-70b", 8, load_hardware("h100-sxm"), prefill(8192));
    CHECK(choice(best, "post_attention_layernorm", 40) == "tokens");
    // Memory binds: the bound is not reached, but no layout within the cap is faster.
    CHECK(best.totals.memory.fits);
    CHECK(best.certificate.exact);
    CHECK(best.certificate.gap < 0.01);
}

TEST_CASE("search: parallel attention and MLP need one reduction") {
    const auto config = tiny("cohere");
    const auto model = build_model(config);
    const auto best = search_layout(model, options_for(2, LayoutChoice::best, Kernels::served),
                                    with_links(1e6), {}, prefill(4096));
    int reductions = 0;
    for (const auto& step : best.program.sections[1].steps)
        reductions += step.kind == OpKind::all_reduce || step.kind == OpKind::reduce_scatter;
    CHECK(reductions <= 1);
}

TEST_CASE("search: a layout that does not fit gives way to one that does") {
    auto hardware = load_hardware("h100-sxm");
    const auto free = best_of("llama-3.1-8b", 2, hardware, decode(1));
    REQUIRE(free.totals.memory.fits);
    REQUIRE_FALSE(free.certificate.bytes_cap.value);
    // A little less than that layout needs.
    hardware.memory = Bytes((free.totals.memory.total.value - 1e6) / 0.9);
    const auto tight = best_of("llama-3.1-8b", 2, hardware, decode(1));
    CHECK(tight.totals.memory.fits);
    CHECK(tight.totals.step >= free.totals.step);
    CHECK(tight.certificate.bytes_cap.value);
    CHECK(tight.certificate.bound <= tight.totals.step);
    // Far too little: the fastest, and it says that it does not fit.
    hardware.memory = Bytes(1e9);
    const auto none = best_of("llama-3.1-8b", 2, hardware, decode(1));
    CHECK_FALSE(none.totals.memory.fits);
    CHECK(none.totals.step.value == Catch::Approx(free.totals.step.value).epsilon(1e-12));
}

TEST_CASE("search: never slower than transformers' own plan") {
    for (const auto& preset : preset_names()) {
        const auto config = load_model_config(preset);
        const auto model = build_model(config);
        for (const auto& [name, tp, link] :
             {std::tuple{"h100-sxm", 8, "nvlink"}, std::tuple{"l40s", 4, "pcie"}}) {
            const auto hardware = load_hardware(name);
            for (auto workload : {decode(1), decode(64), prefill(2048)}) {
                workload.dtype = workload.kv_dtype = config.dtype;
                auto options = options_for(tp, LayoutChoice::hf, Kernels::served);
                CostOptions cost;
                cost.link = link;
                const auto hf = plan_program(config, model, options, hardware, cost, workload);
                if (!hf.program) continue;
                options.layout = LayoutChoice::best;
                const auto best = plan_program(config, model, options, hardware, cost, workload);
                INFO(preset << " " << name << " " << name_of(workload.phase) << " "
                            << workload.batch);
                REQUIRE(best.program);
                // A plan that does not fit is no competitor of one that does.
                if (best.program->totals.memory.fits && !hf.program->totals.memory.fits) continue;
                CHECK(best.program->totals.step.value <=
                      hf.program->totals.step.value * (1 + 1e-12));
            }
        }
    }
}

TEST_CASE("search: an edited certificate is found out") {
    const auto config = tiny("llama");
    const auto model = build_model(config);
    const auto options = options_for(2, LayoutChoice::best, Kernels::served);
    const auto hardware = load_hardware("h100-sxm");
    const auto workload = decode(4);
    const auto best = search_layout(model, options, hardware, {}, workload);
    const auto fault = [&](const Certificate& certificate) {
        return certificate_fault(model, options, hardware, {}, workload, best.layout, certificate);
    };
    CHECK(fault(best.certificate).empty());
    auto edited = best.certificate;
    edited.bound = edited.bound * 0.9;
    CHECK_FALSE(fault(edited).empty());
    edited = best.certificate;
    edited.step = edited.step * 0.9;
    CHECK_FALSE(fault(edited).empty());
    edited = best.certificate;
    edited.potentials.places.front().front() *= 1.01;
    edited.potentials.bound *= 1.01;
    edited.bound = edited.bound * 1.01;
    CHECK_FALSE(fault(edited).empty());
}
