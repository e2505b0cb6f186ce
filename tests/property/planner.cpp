#include <algorithm>
#include <map>
#include <random>

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

constexpr std::array kDegrees = {1, 2, 3, 4, 6, 8, 16};

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// How many ranks hold each element of a dimension of size n: equal everywhere, or -1.
int copies(const Split& split, std::int64_t n) {
    std::map<std::int64_t, int> edges;  // position -> change of the number of holders
    for (int rank = 0; rank < split.parts; ++rank) {
        for (const auto& slice : slices(split, n, rank)) {
            ++edges[slice.offset];
            --edges[slice.offset + slice.extent];
        }
    }
    int holders = 0, first = -1;
    for (const auto& [position, change] : edges) {
        holders += change;
        if (position == n) return holders == 0 ? first : -1;
        if (first < 0) first = position == 0 ? holders : -2;
        if (holders != first) return -1;
    }
    return -1;
}

void check_tiling(const Program& program, std::int64_t kv_heads) {
    for (const auto& tensor : program.tensors) {
        INFO(tensor.name);
        const auto n = tensor.shape[at(tensor.split.dim)];
        const bool grouped = tensor.split.kind == SplitKind::grouped;
        CHECK(copies(tensor.split, n) == (grouped ? program.tp / kv_heads : 1));
    }
}

/// Layout by layout, does every step get what it needs, and does every collective fit its buffers?
void check_well_formed(const Program& program) {
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        const auto& section = program.sections[s];
        std::vector<bool> written(program.buffers.size(), false);
        if (s > 0) {  // the stream, and the normalised stream where layers share it
            const auto& before = program.sections[0].steps;
            for (const auto& step : before) {
                for (const int out : step.outputs) written[at(out)] = true;
            }
        }
        std::map<int, bool> partial;  // buffers that hold partial sums
        for (const auto& step : section.steps) {
            INFO(section.name << " " << step.name);
            REQUIRE_FALSE(step.outputs.empty());
            for (const int in : step.inputs) {
                CHECK(written[at(in)]);
                const bool sums = step.kind == OpKind::all_reduce;
                CHECK(partial[in] == sums);
            }
            for (const int out : step.outputs) {
                written[at(out)] = true;
                partial[out] = false;
            }
            const auto layout = [&](int buffer) { return program.buffers[at(buffer)].layout; };
            const bool cut_input = !step.weights.empty() && step.kind == OpKind::linear &&
                                   layout(step.inputs[0]).kind == LayoutKind::split;
            const bool cut_experts =
                step.kind == OpKind::moe_experts &&
                program.tensors[at(step.weights[0].tensor)].split.kind != SplitKind::whole;
            const bool cut_table =
                step.kind == OpKind::embedding &&
                program.tensors[at(step.weights[0].tensor)].split.kind != SplitKind::whole;
            if (cut_input || cut_experts || cut_table) partial[step.outputs[0]] = true;
            if (step.kind == OpKind::all_gather) {
                CHECK(layout(step.inputs[0]).kind == LayoutKind::split);
                CHECK(layout(step.outputs[0]).kind == LayoutKind::replicated);
            }
            if (is_collective(step.kind))
                CHECK(step.n == program.buffers[at(step.inputs[0])].width);
        }
        for (const auto& [buffer, sums] : partial) CHECK_FALSE(sums);
    }
}

/// Multiply-adds per row of each linear of one rank, by name.
std::map<std::string, std::int64_t> linear_work(const Program& program) {
    std::map<std::string, std::int64_t> work;
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.kind == OpKind::linear) work[section.name + "/" + step.name] = step.n * step.k;
        }
    }
    return work;
}

/// Work over all ranks is that of one rank without a cut, unless weights are whole (each repeats
/// it), copied, or cut unevenly (the largest rank counts for all).
void check_work(const Program& whole, const Program& cut, std::int64_t kv_heads) {
    auto one = linear_work(whole);
    for (const auto& section : cut.sections) {
        for (const auto& step : section.steps) {
            if (step.kind != OpKind::linear) continue;
            INFO(step.name);
            const auto& tensor = cut.tensors[at(step.weights[0].tensor)];
            const auto n = tensor.shape[at(tensor.split.dim)];
            const auto full = one.at(section.name + "/" + step.name);
            const auto all = step.n * step.k * cut.tp;
            if (tensor.split.kind == SplitKind::whole) {
                CHECK(all == full * cut.tp);
            } else if (tensor.split.kind == SplitKind::grouped) {
                CHECK(all == full * (cut.tp / kv_heads));
            } else if (n % cut.tp == 0) {
                CHECK(all == full);
            } else {
                CHECK(all > full);
            }
        }
    }
}

std::size_t communication_steps(const Program& program) {
    std::size_t count = 0;
    for (const auto& section : program.sections) count += collectives(section).size();
    return count;
}

double weight_bytes_read(const Program& program) {
    double bytes = 0;
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps)
            bytes += step.weight_bytes * static_cast<double>(section.layers.size());
    }
    return bytes;
}

/// Everything that must hold for one configuration, degree and layout. Returns whether it is
/// feasible.
bool check_degree(const ModelConfig& config, const Model& model, int tp, LayoutChoice layout) {
    INFO(config.source << " tp " << tp << " " << name_of(layout));
    auto options = options_for(tp, layout);
    const auto planned = make_plan(config, model, options);
    CHECK(planned.plan.has_value() == planned.feasibility.feasible);
    CHECK(planned.feasibility.feasible == planned.feasibility.violations.empty());
    for (const auto& violation : planned.feasibility.violations) {
        CHECK_FALSE(violation.subject.empty());
        CHECK_FALSE(violation.need.empty());
        CHECK_FALSE(violation.have.empty());
        CHECK_FALSE(violation.message.empty());
    }
    if (!planned.plan) return false;

    auto plan = *planned.plan;
    const auto program = lower(model, plan, config.dtype);
    check_tiling(program, config.kv_heads);
    check_well_formed(program);
    const auto alone = make_plan(config, model, options_for(1, layout));
    REQUIRE(alone.plan);
    check_work(lower(model, *alone.plan, config.dtype), program, config.kv_heads);
    if (tp == 1) CHECK(communication_steps(program) == 0);

    plan.options.kernels = Kernels::served;
    const auto served = lower(model, plan, config.dtype);
    check_well_formed(served);
    CHECK(communication_steps(served) == communication_steps(program));
    // The boundary norms run once more often than there are layers, as without fusion.
    CHECK(weight_bytes_read(served) == Catch::Approx(weight_bytes_read(program)).epsilon(1e-12));
    CHECK(from_json<Program>(to_json(served), "program") == served);
    return true;
}

/// A tiny configuration with random sizes that its family accepts.
ModelConfig random_config(std::mt19937& random) {
    const auto pick = [&](std::initializer_list<int> from) {
        return *(from.begin() + static_cast<std::ptrdiff_t>(random() % from.size()));
    };
    const auto families = tiny_families();
    const auto family = families[random() % families.size()];
    auto document = tiny_config(family);
    const auto set = [&](const char* key, int value) {
        if (document.contains(key)) document[key] = value;
    };
    const int heads = pick({2, 4, 6, 8, 12});
    const bool grouped = family.find("deepseek") == std::string::npos;
    set("num_attention_heads", heads);
    set("n_head", heads);
    set("num_key_value_heads", grouped && heads % 2 == 0 ? heads / pick({1, 2}) : heads);
    set("head_dim", 16);
    set("hidden_size", 16 * heads);
    set("n_embd", 16 * heads);
    set("intermediate_size", pick({96, 128, 130, 192, 250}));
    set("moe_intermediate_size", pick({24, 32, 36}));
    set("vocab_size", pick({240, 256, 255, 384}));
    return read_model_config(document, "random " + family);
}

}  // namespace

TEST_CASE("every preset: shards tile, work is conserved, programs are well formed") {
    for (const auto& name : preset_names()) {
        const auto config = load_model_config(name);
        const auto model = build_model(config);
        const auto verdict = tp_verdict(config, Transformers::v5_16);
        for (const auto layout : {LayoutChoice::hf, LayoutChoice::best}) {
            const auto works = working_degrees(config, verdict, options_for(1, layout), 16);
            for (const int tp : kDegrees) {
                const bool expected = std::find(works.begin(), works.end(), tp) != works.end();
                CHECK(check_degree(config, model, tp, layout) == expected);
            }
        }
    }
}

TEST_CASE("random small models at random degrees") {
    std::mt19937 random(20260821);
    int feasible = 0;
    for (int trial = 0; trial < 300; ++trial) {
        const auto config = random_config(random);
        const auto model = build_model(config);
        constexpr std::array kTrialDegrees = {1, 2, 2, 3, 4, 4, 6, 8, 12};
        const int tp = kTrialDegrees[random() % kTrialDegrees.size()];
        const auto layout = random() % 2 ? LayoutChoice::hf : LayoutChoice::best;
        feasible += check_degree(config, model, tp, layout) ? 1 : 0;
    }
    CHECK(feasible > 60);  // or the trials test nothing
}

TEST_CASE("what tplan mends it never loses, and 5.10 never refuses more than 5.16") {
    for (const auto& family : tiny_families()) {
        const auto config = tiny(family);
        for (int tp = 1; tp <= 16; ++tp) {
            INFO(family << " tp " << tp);
            const auto verdict = tp_verdict(config, Transformers::v5_16);
            const auto hf = judge_layout(config, verdict, options_for(tp));
            const auto best = judge_layout(config, verdict, options_for(tp, LayoutChoice::best));
            CHECK((best.feasible || !hf.feasible));
            auto old = options_for(tp);
            old.transformers = Transformers::v5_10;
            CHECK((judged(config, old).feasible || !hf.feasible));
        }
    }
}
