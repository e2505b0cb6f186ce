// The explorer as a person uses it, without a display.
#include <cmath>
#include <filesystem>
#include <random>

#include "core/files.h"
#include "gui/commands.h"
#include "gui/png.h"
#include "gui/screenshot.h"
#include "gui/settings.h"
#include "tests/gui/driver.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;
using tplan::gui::Key;

namespace {

void open_70b(Driver& driver) {
    driver.click("welcome.llama-3.1-70b");
    REQUIRE(driver.work().study);
}

Seconds collective_of(const Study& study) {
    return study.totals->collective;
}

}  // namespace

TEST_CASE("explorer: an empty window offers models and answers once one is chosen") {
    Driver driver;
    REQUIRE_FALSE(driver.work().study);
    open_70b(driver);
    CHECK(driver.has("answer"));
    CHECK_THAT(driver.study().answer, Catch::StartsWith("Use TP 8 over nvlink"));
    CHECK(driver.tp() == 8);
}

TEST_CASE("explorer: arrow keys move to the next degree that works; undo brings everything back") {
    Driver driver;
    open_70b(driver);
    driver.key(Key::digit2);
    CHECK(driver.tp() == 2);
    const auto before = driver.study().totals->step;
    driver.key(Key::right);
    CHECK(driver.tp() == 4);
    CHECK(driver.study().totals->step < before);
    driver.key(Key::z, true);
    CHECK(driver.tp() == 2);
    CHECK(driver.study().totals->step == before);
    driver.key(Key::y, true);
    CHECK(driver.tp() == 4);
    driver.key(Key::digit1);
    driver.key(Key::left);
    CHECK(driver.tp() == 1);
}

TEST_CASE("explorer: the other link raises every collective and leaves compute alone") {
    Driver driver;
    open_70b(driver);
    const auto nvlink = driver.work().study;
    driver.key(Key::l);
    const auto pcie = driver.work().study;
    CHECK(pcie->request.cost.link == "pcie");
    CHECK(collective_of(*pcie) > collective_of(*nvlink));
    CHECK(pcie->totals->compute == nvlink->totals->compute);
    CHECK(pcie->curves.size() == 2);
}

TEST_CASE("explorer: pointing at a slice tells what it is") {
    Driver driver;
    open_70b(driver);
    driver.hover("w:self_attn.o_proj/r:2");
    CHECK(driver.tooltip_shown());
    driver.hover("panel.status");
    CHECK_FALSE(driver.tooltip_shown());
}

TEST_CASE("explorer: a click on the all-reduce selects it everywhere") {
    Driver driver;
    open_70b(driver);
    driver.click("c:self_attn.o_proj.all_reduce");
    CHECK(driver.app.view.selected == "self_attn.o_proj.all_reduce");
    CHECK(driver.has("details.selected"));
    CHECK(driver.has("row.self_attn.o_proj.all_reduce"));
    driver.key(Key::period);
    CHECK(driver.app.view.selected == "post_attention_layernorm");
    driver.key(Key::escape);
    CHECK(driver.app.view.selected.empty());
}

TEST_CASE("explorer: a degree that does not work is drawn, said and mended on a click") {
    Driver driver;
    open_70b(driver);
    driver.click("tp.3");
    CHECK(driver.tp() == 3);
    CHECK_FALSE(driver.study().totals);
    const auto found = problems(driver.work());
    REQUIRE_FALSE(found.empty());
    CHECK(found.front().code == "heads_not_divisible");
    CHECK(found.front().remedy == "use TP 2");
    CHECK_FALSE(run_refusal(driver.work()).empty());
    driver.click("mend.0");
    CHECK(driver.tp() == 2);
    CHECK(driver.study().totals);
}

TEST_CASE("explorer: a plan over memory names the smallest degree that fits") {
    Driver driver;
    open_70b(driver);
    driver.key(Key::digit1);
    const auto found = problems(driver.work());
    REQUIRE_FALSE(found.empty());
    CHECK(found.front().code == "does_not_fit");
    CHECK(found.front().remedy == "use TP 2");
}

TEST_CASE("explorer: every command is in the palette and runs from there") {
    for (const auto& command : gui::commands()) {
        if (command.name == "palette" || command.name == "quit" || command.name == "run.calibrate")
            continue;
        INFO(command.name);
        Driver driver;
        open_70b(driver);
        driver.key(Key::k, true);
        REQUIRE(driver.app.view.palette);
        driver.type(command.name);
        REQUIRE(driver.has("palette." + std::string(command.name)));
        driver.key(Key::enter);
        CHECK_FALSE(driver.app.view.palette);
    }
}

TEST_CASE("explorer: letters typed into a field are not commands") {
    Driver driver;
    open_70b(driver);
    const auto link = driver.study().request.cost.link;
    driver.click("steps.filter");
    driver.key(Key::l);
    driver.type("l");
    CHECK(driver.study().request.cost.link == link);
    CHECK(driver.app.view.filter == "l");
}

TEST_CASE("explorer: a plan that is saved and opened again is the same") {
    TempDir folder;
    Driver driver;
    open_70b(driver);
    const auto path = folder.path() + "/plan.json";
    apply(driver.app.work, {ActionKind::save, path});
    CHECK(driver.work().error.empty());
    const auto answer = driver.study().answer;
    const auto step = driver.study().totals->step;
    Driver other;
    apply(other.app.work, {ActionKind::open, path});
    CHECK(other.work().error.empty());
    REQUIRE(other.work().study);
    CHECK(other.study().answer == answer);
    CHECK(other.study().totals->step == step);
}

TEST_CASE("explorer: bad input leaves the last result and says what is wrong") {
    Driver driver;
    open_70b(driver);
    const auto study = driver.work().study;
    apply(driver.app.work, {ActionKind::open, "no-such-model"});
    driver.frames(2);
    CHECK(driver.work().study == study);
    CHECK_THAT(driver.work().error, Catch::Contains("no-such-model"));
    apply(driver.app.work, {ActionKind::set_batch, {}, 0});
    CHECK_THAT(driver.work().error, Catch::Contains("out of range"));
    CHECK(driver.work().study == study);
}

TEST_CASE("explorer: changes of one field are one step of undo") {
    Driver driver;
    open_70b(driver);
    const auto undo = driver.work().undo.size();
    for (const int batch : {2, 3, 4, 5}) {
        apply(driver.app.work, {ActionKind::set_batch, {}, batch, batch > 2});
    }
    CHECK(driver.work().undo.size() == undo + 1);
    apply(driver.app.work, {ActionKind::undo});
    CHECK(driver.work().inputs.request.workload.batch == 1);
}

TEST_CASE("explorer: twenty thousand rectangles in one window do not abort") {
    Driver driver;
    auto& io = ImGui::GetIO();
    for (int frame = 0; frame < 2; ++frame) {  // a window is sized in its first frame, unseen
        ImGui::NewFrame();
        ImGui::SetNextWindowPos({0, 0});
        ImGui::SetNextWindowSize({400, 400});
        ImGui::Begin("many");
        for (int i = 0; i < 20'000; ++i) {
            const auto x = static_cast<float>(i % 200), y = static_cast<float>(i / 200);
            ImGui::GetWindowDrawList()->AddRectFilled({x, y}, {x + 1, y + 1}, IM_COL32_WHITE);
        }
        ImGui::End();
        ImGui::Render();
    }
    CHECK(ImGui::GetDrawData()->TotalVtxCount >= 80'000);
    CHECK((io.BackendFlags & ImGuiBackendFlags_RendererHasVtxOffset) != 0);
}

TEST_CASE("explorer: every view at every size stays inside the window, twice the same picture") {
    for (const auto& [width, height, scale] :
         {std::tuple{1024, 700, 1.0f}, std::tuple{1600, 1000, 1.0f}}) {
        std::string first;
        for (int round = 0; round < 2; ++round) {
            gui::App app;
            app.work = make_workspace();
            app.view.built_in_font = app.view.still = true;
            app.view.scale = scale;
            apply(app.work, {ActionKind::set_model, "llama-3.1-8b"});
            const auto picture = gui::software_screenshot(app, width, height, 4);
            REQUIRE(picture.width == width);
            REQUIRE(picture.height == height);
            const auto png = gui::png_bytes(picture);
            if (round == 0) first = png;
            CHECK(png == first);
        }
    }
}

TEST_CASE("explorer: ten thousand random events break nothing") {
    std::mt19937 random(20261122);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    constexpr std::array kKeys = {Key::left,
                                  Key::right,
                                  Key::up,
                                  Key::down,
                                  Key::escape,
                                  Key::tab,
                                  Key::comma,
                                  Key::period,
                                  Key::left_bracket,
                                  Key::right_bracket,
                                  Key::digit1,
                                  Key::digit2,
                                  Key::digit4,
                                  Key::digit8,
                                  Key::l,
                                  Key::p,
                                  Key::b,
                                  Key::h,
                                  Key::d,
                                  Key::t,
                                  Key::z,
                                  Key::y};
    Driver driver;
    open_70b(driver);
    for (int i = 0; i < 10'000; ++i) {
        const auto size = ImGui::GetIO().DisplaySize;
        switch (below(6)) {
            case 0:
                gui::inject_mouse(static_cast<float>(below(static_cast<int>(size.x))),
                                  static_cast<float>(below(static_cast<int>(size.y))));
                break;
            case 1:
                gui::inject_button(below(2) == 0);
                break;
            case 2:
                gui::inject_wheel(static_cast<float>(below(5) - 2));
                break;
            case 3: {
                const auto key =
                    kKeys[static_cast<std::size_t>(below(static_cast<int>(kKeys.size())))];
                gui::inject_modifiers(below(6) == 0, below(6) == 0);
                gui::inject_key(key, below(2) == 0);
                break;
            }
            case 4:
                gui::inject_text(std::string(1, static_cast<char>('0' + below(10))));
                break;
            default:
                if (below(50) == 0)
                    ImGui::GetIO().DisplaySize = {static_cast<float>(1024 + below(900)),
                                                  static_cast<float>(700 + below(500))};
        }
        if (driver.app.work.worker) driver.app.work.worker.reset();
        driver.app.view.asking.clear();  // no files from random text
        driver.frames(1);
        if (const auto& study = driver.work().study; study && study->totals)
            REQUIRE(std::isfinite(study->totals->step.value + study->totals->memory.total.value));
    }
}

TEST_CASE("settings: written and read again; a damaged file gives defaults and is kept aside") {
    TempDir folder;
    const auto path = folder.path() + "/tplan/window.json";
    std::string complaint;
    CHECK(gui::load_settings(path, complaint) == gui::Settings{});
    gui::Settings settings;
    settings.theme = Theme::high_contrast;
    settings.scale = 1.5;
    settings.recent = {"a.json"};
    gui::save_settings(path, settings);
    CHECK(gui::load_settings(path, complaint) == settings);
    CHECK(complaint.empty());
    write_file(path, "{\"schema\": 3");
    CHECK(gui::load_settings(path, complaint) == gui::Settings{});
    CHECK_THAT(complaint, Catch::Contains("window.json"));
    CHECK(std::filesystem::exists(path + ".bad"));
    CHECK_FALSE(std::filesystem::exists(path));
}
