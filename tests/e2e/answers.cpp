// What the program says where the answer is no, or is yes with a but.
#include "tests/e2e/commands.h"
#include "tests/support/tiny_configs.h"

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
}

TEST_CASE("the head gathers what --sampling asks for, and the answer says so") {
    const auto asked = [](const std::string& sampling) {
        return std::vector<std::string>{"estimate", "llama-3.1-8b", "--hw", "h100-sxm",   "--tp",
                                        "8",        "--batch",      "64",   "--sampling", sampling};
    };
    const auto gathers = [](const Json& estimate) {
        std::vector<std::string> names;
        for (const auto& op : estimate["ops"]) {
            if (op["kind"] == "all_gather") names.push_back(op["name"]);
        }
        return names;
    };
    const auto greedy = json_of(asked("greedy")), all = json_of(asked("logits"));
    CHECK(greedy["sampling"] == "greedy");
    CHECK(all["sampling"] == "logits");
    CHECK(gathers(greedy) == std::vector<std::string>{"candidates.all_gather"});
    CHECK(gathers(all) == std::vector<std::string>{"lm_head.all_gather"});
    CHECK(greedy["step_s"] < all["step_s"]);
    CHECK(greedy["memory"]["logits_bytes"] < all["memory"]["logits_bytes"]);
    const auto says = [&](const std::string& sampling, const std::string& words) {
        const auto result = run_tplan(asked(sampling));
        INFO(result.out << result.err);
        CHECK(result.exit_code == 0);
        CHECK(result.out.find(words) != std::string::npos);
    };
    says("greedy", "sampling greedy: the head gathers the best candidate of every rank");
    says("top-p", "sampling top-p: the head gathers all logits");
    const auto top_p = json_of(asked("top-p"));
    CHECK(top_p["sampling"] == "top-p");
    CHECK(top_p["step_s"] == all["step_s"]);
    expect_failure(asked("greddy"), 2, {"--sampling", "greddy", "did you mean \"greedy\"?"});
}

TEST_CASE("a plan that chooses tokens is checked and runs") {
    const TempDir folder;
    write_file(folder / "config.json", tiny_config("llama").dump());
    // At this size the fastest layout cuts nothing; by hand the head is cut and not gathered.
    write_file(folder / "rules.json", R"({"lm_head": "colwise"})");
    for (const std::string tp : {"2", "3"}) {
        const bool by_hand = tp == "2";
        const auto plan = folder / ("plan" + tp + ".json"), out = folder / ("run" + tp + ".json");
        std::vector<std::string> asked{"plan",       folder / "config.json",
                                       "--hw",       "h100-sxm",
                                       "--tp",       tp,
                                       "--batch",    "3",
                                       "--dtype",    "fp32",
                                       "--context",  "16",
                                       "-o",         plan,
                                       "--sampling", "greedy"};
        if (by_hand) asked.insert(asked.end(), {"--tp-plan", folder / "rules.json"});
        const auto made = run_tplan(asked);
        INFO(made.err);
        REQUIRE(made.exit_code == 0);
        const auto document = load_json(plan);
        CHECK(document["request"]["plan"]["sampling"] == "greedy");
        const auto gathers = document.dump().find("candidates.all_gather") != std::string::npos;
        CHECK(gathers == by_hand);
        CHECK(run_tplan({"check", plan}).exit_code == 0);
        // Another machine's profile: the times are far off, the tokens are not.
        const auto run = run_tplan({"run", plan, "--reps", "3", "-o", out});
        INFO(run.out << run.err);
        CHECK(run.exit_code != 2);
        CHECK(load_json(out)["numerics"]["pass"] == true);
    }
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
