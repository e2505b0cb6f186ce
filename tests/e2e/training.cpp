#include "core/files.h"
#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;
using Catch::Matchers::Contains;

namespace {

std::vector<std::string> train(const std::string& command, std::vector<std::string> more) {
    std::vector<std::string> all{command, "llama-3.1-8b", "--hw", "h100-sxm", "--phase", "train"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

/// The one line on stderr of a command that must end with exit code 2.
std::string refusal(const std::vector<std::string>& arguments) {
    const auto result = run_tplan(arguments);
    INFO(fmt::format("{}", fmt::join(arguments, " ")));
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    return result.err;
}

}  // namespace

TEST_CASE("a training plan prints its mesh and cost, checks clean, is exported and not run") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    const auto made = run_tplan(train("plan", {"--mesh", "dp_shard=4,tp=2", "-o", plan}));
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    CHECK_THAT(made.out, Contains("dp_shard=4, tp=2") && Contains("8 GPUs") &&
                             Contains("which accelerate runs") && Contains("gradients") &&
                             Contains("optimizer"));
    const auto document = load_json(plan);
    CHECK(document["mesh"] == Json{{"dp_replicate", 1}, {"dp_shard", 4}, {"tp", 2}});
    const auto& predicted = document["predicted"];
    CHECK(predicted["tokens_per_s"].get<double>() ==
          Catch::Approx(4 * 1024 / predicted["step_s"].get<double>()));
    CHECK(predicted["memory"]["optimizer_bytes"] > predicted["memory"]["gradients_bytes"]);
    CHECK(predicted["exposed_collective_s"] < predicted["collective_s"]);
    CHECK(run_tplan({"check", plan}).exit_code == 0);
    CHECK_THAT(refusal({"run", plan, "-o", folder / "v.json"}), Contains("does not run training"));

    const auto exported = run_tplan({"export", plan, "--to", "accelerate"});
    CHECK(exported.exit_code == 0);
    CHECK_THAT(exported.out, Contains("dp_shard_size=4") && Contains("tp_size=2") &&
                                 Contains("--nproc-per-node 8") && Contains("fsdp_version=2"));
    CHECK(run_tplan({"export", plan, "--to", "vllm"}).exit_code == 1);

    auto edited = document;
    edited["request"]["training"]["mesh"]["dp_shard"] = 2;
    write_file(plan, json_text(edited));
    CHECK(run_tplan({"check", plan}).exit_code == 1);
}

TEST_CASE("training that cannot be is refused with what to do") {
    CHECK_THAT(refusal(train("estimate", {"--mesh", "dp_shard=8,tp=2"})),
               Contains("16 ranks") && Contains("8 GPUs"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "pipeline=2"})), Contains("dp_replicate"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "tp=2,tp=2"})), Contains("twice"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "tp=2", "--tp", "4"})), Contains("once"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "tp=0"})), Contains("above zero"));
    CHECK_THAT(refusal(train("plan", {"--gpus", "8"})), Contains("--mesh"));
    CHECK_THAT(refusal(train("estimate", {"--tp", "2", "--context", "9"})), Contains("--seq"));
    CHECK_THAT(refusal(train("sweep", {"--tp", "1,2", "--mesh", "tp=2"})), Contains("--tp"));
    const auto no = run_tplan(train("estimate", {"--tp", "3", "--layout", "hf"}));
    CHECK(no.exit_code == 1);
    CHECK_THAT(no.err, Contains("heads_not_divisible"));
}
