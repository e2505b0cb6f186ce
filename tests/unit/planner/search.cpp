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
                     const Workload& workload, const std::string& link = {},
                     Sampling sampling = Sampling::logits) {
    const auto config = load_model_config(preset);
    const auto model = build_model(config);
    CostOptions cost;
    cost.link = link;
    auto options = options_for(tp, LayoutChoice::best, Kernels::served);
    options.sampling = sampling;
    return search_layout(model, options, hardware, cost, workload);
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

TEST_CASE("search: the head gathers what the sampling needs") {
    const auto head = [](Sampling sampling) {
        const auto best = best_of("llama-3.1-8b", 8, with_links(1e6), decode(64), {}, sampling);
        CHECK(choice(best, "lm_head", -1) == "out");
        CHECK(best.certificate.gap == 0);
        return section(best.program, "head");
    };
    CHECK(collectives(head(Sampling::logits)) == std::vector<std::string>{"lm_head.all_gather"});
    CHECK(collectives(head(Sampling::top_p)) == std::vector<std::string>{"lm_head.all_gather"});
    const auto greedy = head(Sampling::greedy);
    CHECK(collectives(greedy) == std::vector<std::string>{"candidates.all_gather"});
    // One pair of fp32 numbers of every rank, from its 16,032 of 128,256 columns.
    CHECK(step(greedy, "candidates").n == 2);
    CHECK(step(greedy, "candidates").dtype == DType::bf16);
    CHECK(step(greedy, "candidates.all_gather").n == 2 * 8);
    CHECK(step(greedy, "candidates.all_gather").dtype == DType::fp32);
    CHECK(step_names(greedy).back() == "greedy_token");
}

TEST_CASE("search: greedy costs no more than gathering all logits") {
    const auto hardware = load_hardware("h100-sxm");
    const auto priced = [&](Sampling sampling) {
        return best_of("llama-3.1-8b", 8, hardware, decode(64), {}, sampling).totals;
    };
    const auto logits = priced(Sampling::logits), greedy = priced(Sampling::greedy);
    CHECK(greedy.step < logits.step);
    CHECK(greedy.collective < logits.collective);
    CHECK(greedy.memory.logits < logits.memory.logits);
    CHECK(priced(Sampling::top_p).step == logits.step);
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
    // Far too little: every matrix is halved, whatever that costs, and it says that it does not
    // fit.
    hardware.memory = Bytes(1e9);
    const auto none = best_of("llama-3.1-8b", 2, hardware, decode(1));
    CHECK_FALSE(none.totals.memory.fits);
    const double parameters = 8'030'261'248, norms = 65 * 4096;
    CHECK(none.totals.memory.weights.value == (parameters - norms) / 2 * 2 + norms * 2);
    CHECK(none.totals.step >= free.totals.step);
}

TEST_CASE("search: for least memory every matrix is cut, though replicas would be faster") {
    // So slow a link that nothing is worth cutting for speed.
    const auto hardware = with_links(1e-3);
    const auto model = build_model(load_model_config("llama-3.1-8b"));
    const auto options = options_for(2, LayoutChoice::best, Kernels::served);
    const auto fastest = search_layout(model, options, hardware, {}, decode(1));
    const auto smallest =
        search_layout(model, options, hardware, {}, decode(1), {.least_memory = true});
    CHECK(smallest.totals.memory.weights.value * 1.9 < fastest.totals.memory.weights.value);
    CHECK(smallest.totals.step > fastest.totals.step);
    CHECK(smallest.certificate.bytes_cap.value);
    CHECK(certificate_fault(model, options, hardware, {}, decode(1), smallest.layout,
                            smallest.certificate)
              .empty());
    // What the degree can serve does not depend on which of them was chosen now.
    CHECK(fastest.totals.memory.max_batch == smallest.totals.memory.max_batch);
}

TEST_CASE("search: the largest batch of a degree fits, and one more does not") {
    const auto hardware = load_hardware("h100-sxm");
    for (const auto& [name, tp] : {std::pair{"llama-3.1-70b", 2}, std::pair{"mixtral-8x7b", 3}}) {
        INFO(name << " TP " << tp);
        const auto most = best_of(name, tp, hardware, decode(1)).totals.memory.max_batch;
        REQUIRE(most > 1);
        CHECK(best_of(name, tp, hardware, decode(most)).totals.memory.fits);
        CHECK_FALSE(best_of(name, tp, hardware, decode(most + 1)).totals.memory.fits);
    }
}

TEST_CASE("search: where memory binds, a sequence more is not faster") {
    // The peak of activations differs between layouts: the first cap that fits leaves room.
    const auto hardware = load_hardware("l4");
    Seconds before;
    for (const std::int64_t batch : {126, 127, 128, 129}) {
        INFO("batch " << batch);
        auto workload = prefill(2048);
        workload.batch = batch;
        const auto totals = best_of("llama-3.1-8b", 8, hardware, workload).totals;
        CHECK(totals.memory.fits);
        CHECK(totals.step >= before);
        before = totals.step;
    }
}

TEST_CASE("search: narrow KV heads of a checkpoint in groups are cut as transformers cuts them") {
    auto config = load_model_config("llama-3.1-8b-awq");
    config.hidden = 2048;  // as of a model of a billion parameters
    config.head_dim = 64;
    const auto model = build_model(config);
    const auto hardware = load_hardware("l4");
    auto workload = decode(1);
    workload.dtype = workload.kv_dtype = config.dtype;
    for (const int tp : {2, 4, 8}) {  // at 8 a rank has one KV head of 64 columns, half a group
        INFO("TP " << tp);
        const auto step = [&](LayoutChoice layout) {
            const auto options = options_for(tp, layout, Kernels::served);
            const auto planned = plan_program(config, model, options, hardware, {}, workload);
            REQUIRE(planned.program);
            return planned.program->totals.step;
        };
        CHECK(step(LayoutChoice::best) <= step(LayoutChoice::hf));
    }
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
                const auto &own = best.program->totals, &theirs = hf.program->totals;
                // A plan that does not fit is no competitor of one that does; where none fits, the
                // smaller one is sought.
                if (theirs.memory.fits) {
                    CHECK(own.memory.fits);
                    CHECK(own.step.value <= theirs.step.value * (1 + 1e-12));
                } else if (!own.memory.fits) {
                    CHECK(own.memory.weights + own.memory.kv_cache <=
                          theirs.memory.weights + theirs.memory.kv_cache);
                }
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

TEST_CASE("search: one that is used again finds what one from the start finds") {
    // TP 1 holds nothing of it, TP 2 only small batches, TP 8 all: memory binds, or does not.
    const auto config = load_model_config("llama-3.1-70b");
    const auto model = build_model(config);
    const auto hardware = load_hardware("h100-sxm");
    for (const int tp : {1, 2, 8}) {
        const auto options = options_for(tp, LayoutChoice::best, Kernels::served);
        const auto space = make_layout_space(model, options, config.dtype);
        auto kept = make_layout_search(space, hardware, {}),
             unproven = make_layout_search(space, hardware, {});
        for (const auto& workload : {decode(1), decode(96), prefill(4096), decode(1)}) {
            INFO("TP " << tp << ", batch " << workload.batch);
            const auto fresh = search_layout(space, hardware, {}, workload);
            const auto found = search_layout(kept, workload);
            CHECK(found.worked->layout == fresh.layout);
            CHECK(found.totals.step == fresh.totals.step);
            CHECK(found.totals.memory == fresh.totals.memory);
            REQUIRE(found.certificate);
            CHECK(found.certificate->bound == fresh.certificate.bound);
            CHECK(found.certificate->potentials == fresh.certificate.potentials);
            const auto quick = search_layout(unproven, workload, {.proof = false});
            CHECK_FALSE(quick.certificate);
            CHECK(quick.worked->layout == fresh.layout);
            CHECK(quick.totals.step == fresh.totals.step);
            CHECK(quick.totals.memory == fresh.totals.memory);
        }
        // The last workload was the first: its layout was not lowered a second time.
        const auto before = kept.known.size();
        const auto again = search_layout(kept, decode(1)).worked;
        CHECK(search_layout(kept, decode(1)).worked == again);
        CHECK(kept.known.size() == before);
    }
}
