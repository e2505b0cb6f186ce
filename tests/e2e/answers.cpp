// What the program says where the answer is no, or is yes with a but.
#include "tests/e2e/commands.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("where the answer is no, --json prints one document all the same") {
    const std::vector<std::vector<std::string>> refused{
        {"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "3", "--layout", "hf"},
        {"plan", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "3", "--layout", "hf"},
        {"show", "llama-3.1-8b", "--tp", "3", "--layout", "hf"}};
    for (auto arguments : refused) {
        expect_failure(arguments, 1, {"llama-3.1-8b: TP 3", "heads_not_divisible", "1 2 4 8"});
        arguments.emplace_back("--json");
        const auto result = run_tplan(arguments);
        INFO(arguments.front());
        CHECK(result.exit_code == 1);
        CHECK(std::ranges::count(result.err, '\n') == 1);
        const auto document = parse_json(result.out, "stdout");
        CHECK(document["schema"] == "tplan.refusal/1");
        CHECK(document["tp"] == 3);
        CHECK(document["violations"][0]["code"] == "heads_not_divisible");
        CHECK(document["working_degrees"] == Json({1, 2, 4, 8}));
        CHECK(!document["remedies"].empty());
    }
    const auto sweep = run_tplan(
        {"sweep", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "3", "--layout", "hf", "--json"});
    CHECK(sweep.exit_code == 1);
    CHECK(parse_json(sweep.out, "stdout")["rows"].size() == 2);
}

TEST_CASE("an estimate names the defaults and the sources it rests on") {
    const auto document = json_of({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2"});
    CHECK(document["options"]["collectives"] == "nccl");
    double sum = 0;
    for (const auto& [name, share] : document["provenance_shares"].items())
        sum += share.get<double>();
    CHECK(sum == Catch::Approx(1));
    CHECK(document["provenance_shares"].contains(document["provenance"].get<std::string>()));
    const auto assumed = [](const Json& estimate) {
        std::string found;
        for (const auto& note : estimate["notes"]) {
            const auto text = note.get<std::string>();
            if (text.starts_with("assumed")) found = text;
        }
        return found;
    };
    CHECK(assumed(document).find("interval_collective") != std::string::npos);
    CHECK(assumed(document).find("pcie") == std::string::npos);
    CHECK(assumed(document).find("network") == std::string::npos);
    const auto alone = json_of({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "1"});
    CHECK(assumed(alone).find("collective") == std::string::npos);
    const auto over_pcie =
        json_of({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2", "--link", "pcie"});
    CHECK(assumed(over_pcie).find("links/pcie/bytes_per_s") != std::string::npos);
    const auto text = run_tplan({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2"}).out;
    for (const auto* word : {"0.9 of the memory", "collectives nccl", "sampling logits",
                             "KV cache bf16", "over nvlink"}) {
        INFO(word);
        CHECK(text.find(word) != std::string::npos);
    }
    CHECK(document["memory"]["max_context"] == 131072);  // though memory would hold more
    expect_failure(
        {"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2", "--sampling", "greedy"}, 2,
        {"--sampling", "not priced"});
}

TEST_CASE("a number of hundreds of digits gets a short line") {
    const std::string huge(400, '9');
    for (const std::string flag : {"--tp", "--batch", "--context"}) {
        std::vector<std::string> arguments{"estimate", "llama-3.1-8b", "--hw", "h100-sxm"};
        if (flag != "--tp") arguments.insert(arguments.end(), {"--tp", "2"});
        arguments.insert(arguments.end(), {flag, huge});
        const auto result = run_tplan(arguments);
        INFO(result.err);
        CHECK(result.exit_code == 2);
        CHECK(result.err.find(flag) != std::string::npos);
        CHECK(result.err.size() < 300);
    }
}

TEST_CASE("a plan that does not fit or is too slow says so first") {
    const TempDir folder;
    const auto path = folder / "plan.json";
    const auto asked = run_tplan(
        {"plan", "llama-3.1-70b", "--hw", "l4", "--tp", "2", "--layout", "hf", "-o", path});
    CHECK(asked.exit_code == 0);
    const auto first = asked.out.substr(0, asked.out.find('\n'));
    CHECK(first.find("does not fit") != std::string::npos);
    const auto document = load_json(path);
    CHECK(document["predicted"]["memory"]["fits"] == false);
    CHECK(document["why"].get<std::string>().find("does not fit") != std::string::npos);
    CHECK(std::ranges::any_of(document["diagnostics"], [](const Json& note) {
        return note.get<std::string>().find("does not fit") != std::string::npos;
    }));
    expect_failure({"plan", "llama-3.1-70b", "--hw", "l4", "--gpus", "2", "--layout", "hf"}, 1,
                   {"does_not_fit"});
    const std::vector<std::string> small{"plan", "qwen3-0.6b", "--hw",     "h100-sxm",
                                         "--tp", "1",          "--layout", "hf"};
    const auto bounded = [&](const char* flag, const char* value) {
        auto arguments = small;
        arguments.insert(arguments.end(), {flag, value});
        return arguments;
    };
    CHECK(run_tplan(bounded("--max-tpot-s", "1")).exit_code == 0);
    expect_failure(bounded("--max-tpot-s", "1e-9"), 1, {"qwen3", "above the bound"});
    expect_failure(bounded("--max-tpot-s", "nan"), 2, {"--max-tpot-s"});
    expect_failure(bounded("--max-tpot-s", "-1"), 2, {"--max-tpot-s"});
    expect_failure(bounded("--max-ttft-s", "1"), 2, {"--max-ttft-s", "--max-tpot-s"});
}

TEST_CASE("run refuses what cannot run before it begins") {
    const TempDir folder;
    // 1.6 TB of weights in fp32: no progress line comes before the refusal.
    const auto large = make_plan_file(folder, {"plan", "llama-3.1-405b", "--hw", "h100-sxm", "--tp",
                                               "2", "--layout", "hf", "--dtype", "fp32", "-o"});
    expect_failure({"run", large, "-o", folder / "never.json"}, 2,
                   {"memory: ", "needs", "--layers"});
    expect_failure({"run", large, "--backend", "cuda"}, 2, {"--backend"});
    expect_failure({"run", large, "--backend", "cpux"}, 2, {"--backend"});
    CHECK(folder.listing().find("never") == std::string::npos);
}

TEST_CASE("export is a command") {
    const TempDir folder;
    const auto plan = make_plan_file(folder);
    const auto path = folder / "tp_plan.json";
    CHECK(run_tplan({"export", plan, "--to", "vllm"}).exit_code == 0);
    CHECK(run_tplan({"export", plan, "--to", "hf", "-o", path}).exit_code == 0);
    CHECK(load_json(path).is_object());
    expect_failure({"export", plan, "--to", "vlm"}, 2, {"vllm"});
}
