#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include "core/files.h"
#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// The `tplan ...` lines of the README's shell block, comments cut off.
std::vector<std::vector<std::string>> readme_commands() {
    std::istringstream text(read_file(std::string(TPLAN_ROOT) + "/README.md", 1 << 20));
    std::vector<std::vector<std::string>> commands;
    bool inside = false;
    for (std::string line; std::getline(text, line);) {
        if (line.starts_with("```")) inside = line == "```sh";
        if (!inside || !line.starts_with("tplan ")) continue;
        std::istringstream words(
            line.substr(0, line.find('#')).substr(std::string("tplan ").size()));
        auto& command = commands.emplace_back();
        for (std::string word; words >> word;) command.push_back(word);
    }
    return commands;
}

}  // namespace

TEST_CASE("the README's tables are what the program prints") {
    const auto readme = read_file(std::string(TPLAN_ROOT) + "/README.md", 1 << 20);
    INFO("paste the output of `tplan hardware`");
    CHECK(readme.find("```\n" + run_tplan({"hardware"}).out + "```\n") != std::string::npos);

    const auto begin = readme.find("Architectures with an op graph: ");
    REQUIRE(begin != std::string::npos);
    auto list = readme.substr(begin, readme.find("\n\n", begin) - begin);
    std::ranges::replace(list, '\n', ' ');
    std::istringstream words(list.substr(list.find(": ") + 2));
    std::set<std::string> named;
    for (std::string word; words >> word;) {
        if (word.starts_with("(") || word == "Every") break;
        named.insert(word.substr(0, word.find_first_of(",;")));
    }
    // The sentence goes on after the families that run: "(..); more families (planned and priced)".
    const auto rest = list.find("; ");
    REQUIRE(rest != std::string::npos);
    std::istringstream more(list.substr(rest + 2));
    for (std::string word; more >> word && !word.starts_with("(");)
        named.insert(word.substr(0, word.find(',')));
    const auto families = resource_names("models/families");
    std::set<std::string> expected(families.begin(), families.end());
    expected.erase("gemma3_text");  // a text model, which people know under its umbrella
    expected.insert("gemma3");
    CHECK(named == expected);
}

TEST_CASE("every command of the README runs as printed and the run ends in a validated plan file") {
    const TempDir folder;
    std::filesystem::create_directories(folder / "path/to");
    const auto preset = load_json(resource_path("models/configs/llama-3.1-8b.json"));
    write_file(folder / "path/to/config.json", json_text(preset["config"]));
    ProcessOptions options;
    options.directory = folder.path();
    options.environment = {{"XDG_CACHE_HOME", folder / "cache"}};
    options.limit = std::chrono::seconds(1000);
    const auto commands = readme_commands();
    REQUIRE(commands.size() >= 10);
    for (const auto& command : commands) {
        INFO(fmt::format("{}", fmt::join(command, " ")));
        const auto result = run_tplan(command, options);
        INFO(result.err);
        // A busy machine may put the measured step outside the interval (exit 1): that is an
        // answer, and no defect.
        CHECK(result.exit_code <= (command.front() == "run" ? 1 : 0));
        CHECK(result.signal == 0);
    }
    const auto validated = load_json(folder / "validated.json");
    CHECK(validated["schema"] == "tplan.validated/1");
    CHECK(validated["numerics"]["pass"] == true);
    CHECK(validated["verdict"] != "failed");
    CHECK(validated["measured"]["ops"].size() == validated["comparison"]["ops"].size());
    CHECK(run_tplan({"check", folder / "validated.json"}).exit_code == 0);

    auto edited = validated;
    edited["measured"]["step_s"]["median"] = 1e-3;
    const auto refused = run_tplan({"check", folder.file("edited.json", json_text(edited))});
    CHECK(refused.exit_code == 1);
    CHECK(refused.err.find("measured/step_s/median") != std::string::npos);
}
