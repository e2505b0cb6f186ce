#include "app/training.h"

#include "app/sweep.h"
#include "planner/train_plan.h"
#include "tests/support/catch.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

Query training_query() {
    Query query;
    query.model = "llama-3.1-8b";
    query.hardware = "h100-sxm";
    query.request.workload.phase = Phase::train;
    return query;
}

TrainingFlags flags_of(const std::string& mesh, std::vector<std::string> given = {}) {
    TrainingFlags flags;
    flags.mesh = mesh;
    flags.given = std::move(given);
    return flags;
}

template <class Action>
std::string complaint(Action action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

std::string mesh_complaint(const std::string& mesh) {
    return complaint([&] { read_mesh(mesh); });
}

/// What is wrong with a mesh once model and profile are known.
std::string resolve_complaint(const std::string& mesh) {
    return complaint([&] {
        auto query = training_query();
        apply_training(query, flags_of(mesh));
        estimate(resolve(query));
    });
}

}  // namespace

TEST_CASE("training flags: a mesh names its axes once, with sizes above zero") {
    CHECK(read_mesh("dp_shard=4,tp=2") == Mesh{.dp_replicate = 1, .dp_shard = 4, .tp = 2});
    CHECK(read_mesh("tp=3") == Mesh{.tp = 3});
    CHECK_THAT(mesh_complaint("dp_shards=4"), Contains("--mesh") && Contains("\"dp_shard\"?"));
    CHECK_THAT(mesh_complaint("pipeline=4"), Contains("\"pipeline\"") && Contains("axes"));
    CHECK_THAT(mesh_complaint("tp=2,tp=2"), Contains("tp is given twice"));
    for (const auto* text : {"tp=0", "tp=-1", "tp=", "tp", "tp=2x", "dp_shard=1.5"})
        CHECK_THAT(mesh_complaint(text), Contains("above zero"));
    CHECK_THAT(mesh_complaint(""), Contains("--mesh"));
    CHECK_THAT(mesh_complaint("tp=2,"), Contains("--mesh"));
}

TEST_CASE("training flags: the mesh must go onto the GPUs, and by accelerate's rule") {
    CHECK(resolve_complaint("dp_shard=4,tp=2").empty());
    CHECK_THAT(resolve_complaint("dp_shard=8,tp=2"),
               Contains("16 ranks") && Contains("8 GPUs") && Contains("--nodes"));
    CHECK_THAT(resolve_complaint("dp_replicate=2,tp=2"), Contains("dp_shard above 1"));
    CHECK(resolve_complaint("dp_replicate=4").empty());
    CHECK(resolve_complaint("dp_replicate=2,dp_shard=2,tp=2").empty());
}

TEST_CASE("training flags: those of another phase do not apply") {
    for (const auto* flag : {"--mesh", "--seq", "--accumulate", "--recompute", "--optimizer"}) {
        CHECK_THAT(complaint([&] {
                       Query query;
                       apply_training(query, flags_of("", {flag}));
                   }),
                   Contains(flag) && Contains("--phase train"));
    }
    for (const auto* flag : {"--input", "--context", "--kv-dtype", "--sampling", "--max-tpot-s"}) {
        CHECK_THAT(complaint([&] {
                       auto query = training_query();
                       apply_training(query, flags_of("tp=2", {flag}));
                   }),
                   Contains(flag) && Contains("does not apply"));
    }
    auto query = training_query();
    query.request.plan.tp = 4;
    CHECK_THAT(complaint([&] { apply_training(query, flags_of("tp=2", {"--tp"})); }),
               Contains("--tp") && Contains("once"));
    query.request.plan.tp = 2;
    auto flags = flags_of("dp_shard=4", {"--tp"});
    flags.seq = 4096;
    apply_training(query, flags);
    CHECK(query.request.training->mesh == Mesh{.dp_shard = 4, .tp = 2});
    CHECK(query.request.workload.input == 4096);
    query.request.workload.dtype = DType::fp8;
    CHECK_THAT(complaint([&] { require_training(query.request, ""); }), Contains("fp8"));
}

TEST_CASE("a sweep of training takes the degrees of --tp over one mesh") {
    auto query = training_query();
    auto flags = flags_of("dp_shard=2");
    flags.seq = 512;
    flags.recompute = "full";
    apply_training(query, flags);
    const auto document = sweep(query, {{}, {"nvlink"}, {1, 2, 4}, {1}});
    REQUIRE(document.rows.size() == 3);
    for (const auto& row : document.rows) CHECK(row.feasible);
    CHECK_THAT(complaint([&] { sweep(query, {{}, {"nvlink"}, {8}, {1}}); }), Contains("16 ranks"));
    CHECK(*document.rows[1].tokens_per_s_per_gpu.value ==
          Catch::Approx(*document.rows[1].tokens_per_s.value / 4));
}
