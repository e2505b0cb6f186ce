// The explorer as a person uses it, without a display.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "app/figures/figure.h"
#include "core/files.h"
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

Seconds collective_of(const Study& study) {
    return study.totals->collective;
}

}  // namespace

TEST_CASE("explorer: an empty window offers models and answers once one is chosen") {
    Driver driver;
    REQUIRE_FALSE(driver.work().study);
    driver.open_70b();
    CHECK(driver.has("answer"));
    CHECK_THAT(driver.study().answer, Catch::StartsWith("Use TP 8 over nvlink"));
    CHECK(driver.tp() == 8);
}

TEST_CASE("explorer: arrow keys move to the next degree that works; undo brings everything back") {
    Driver driver;
    driver.open_70b();
    apply(driver.app.work, {ActionKind::set_layout, "hf"});  // 3 does not work under it
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
    driver.open_70b();
    apply(driver.app.work, {ActionKind::set_layout, "hf"});  // a search may choose another layout
    driver.frames(2);
    const auto nvlink = driver.work().study;
    driver.key(Key::l);
    const auto pcie = driver.work().study;
    CHECK(pcie->request.cost.link == "pcie");
    CHECK(collective_of(*pcie) > collective_of(*nvlink));
    CHECK(pcie->totals->compute == nvlink->totals->compute);
    CHECK(pcie->curves.size() == 2);
    const auto& program = *pcie->lowered->program;
    for (std::size_t s = 0; s < program.sections.size(); ++s) {
        for (std::size_t i = 0; i < program.sections[s].steps.size(); ++i) {
            INFO(program.sections[s].steps[i].name);
            const auto &slow = pcie->steps[s][i].cost.time, &fast = nvlink->steps[s][i].cost.time;
            const bool collective = is_collective(program.sections[s].steps[i].kind);
            CHECK((collective ? slow > fast : slow == fast));
        }
    }
}

TEST_CASE("explorer: with fewer GPUs than the profile has, the answer is for those") {
    Driver driver;
    driver.open_70b();
    apply(driver.app.work, {ActionKind::set_hardware, "l40s"});
    apply(driver.app.work, {ActionKind::set_gpus, {}, 4});
    REQUIRE(driver.work().error.empty());
    driver.click("best");
    CHECK(driver.tp() == 4);
    CHECK(driver.study().most == 4);
    CHECK_THAT(driver.study().answer, Catch::StartsWith("Use TP 4 over pcie"));
    CHECK_FALSE(driver.has("tp.8"));
    apply(driver.app.work, {ActionKind::set_gpus, {}, 9});
    CHECK_THAT(driver.work().error, Catch::Contains("GPUs: 9 is out of range"));
    apply(driver.app.work, {ActionKind::set_gpus, {}, 8});
    CHECK(driver.study().most == 8);
    apply(driver.app.work, {ActionKind::undo});
    CHECK(driver.study().most == 4);
}

TEST_CASE("explorer: pointing at a slice tells what it is") {
    Driver driver;
    driver.open_70b();
    driver.hover("w:self_attn.o_proj/r:2");
    CHECK(driver.tooltip_shown());
    for (const auto* part : {"model.layers.*.self_attn.o_proj.weight", "8192 x 8192",
                             "rank 2: 8192 x 1024", "16.0 MiB"})
        CHECK_THAT(driver.tooltip(), Catch::Contains(part));
    driver.hover("panel.status");
    CHECK_FALSE(driver.tooltip_shown());
}

TEST_CASE("explorer: a click on the all-reduce selects it everywhere") {
    Driver driver;
    driver.open_70b();
    driver.click("c:self_attn.o_proj.all_reduce");
    CHECK(driver.app.view.selected == "self_attn.o_proj.all_reduce");
    CHECK(driver.has("details.selected"));
    REQUIRE(driver.has("row.self_attn.o_proj.all_reduce"));
    driver.frames(3);  // the table scrolls to it
    const auto& row = driver.app.items.at("row.self_attn.o_proj.all_reduce");
    const auto& strip = driver.app.items.at("panel.strip");
    CHECK(row.low.y >= strip.low.y);
    CHECK(row.high.y <= strip.high.y);
    // The timeline outlines the shape of the same step.
    driver.click("strip.timeline");
    CHECK(driver.app.view.selected == "self_attn.o_proj.all_reduce");
    const auto& timeline = driver.app.view.figures.at("timeline");
    int outlined = 0;
    for (std::size_t i = 0; i < timeline.steps.size(); ++i)
        outlined += timeline.steps[i] == driver.app.view.selected ? 1 : 0;
    CHECK(outlined >= 1);
    driver.click("strip.steps");
    driver.key(Key::period);
    CHECK(driver.app.view.selected == "post_attention_layernorm");
    driver.key(Key::escape);
    CHECK(driver.app.view.selected.empty());
}

TEST_CASE("explorer: a degree that does not work is drawn, said and mended on a click") {
    Driver driver;
    driver.open_70b();
    apply(driver.app.work, {ActionKind::set_layout, "hf"});
    driver.frames(2);
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

TEST_CASE("explorer: KV heads that are copied are said and mended on a click") {
    Driver driver;
    driver.open_70b();
    apply(driver.app.work, {ActionKind::set_nodes, {}, 2});
    apply(driver.app.work, {ActionKind::set_tp, {}, 16});
    driver.frames(2);
    REQUIRE(driver.study().totals);
    const auto found = problems(driver.work());
    const auto copied = std::ranges::find(found, "kv_heads_copied", &Problem::code);
    REQUIRE(copied != found.end());
    CHECK(copied->remedy == "use TP 8");
    // Two ranks stand side by side in one KV head.
    REQUIRE(driver.has("w:self_attn.k_proj/r:0"));
    const auto& first = driver.app.items.at("w:self_attn.k_proj/r:0");
    const auto& second = driver.app.items.at("w:self_attn.k_proj/r:1");
    CHECK(first.low.y == second.low.y);
    CHECK(first.high.x == Catch::Approx(second.low.x));
    driver.click("mend." + std::to_string(copied - found.begin()));
    CHECK(driver.tp() == 8);
    // Transformers copies none: there it is an error with a remedy.
    apply(driver.app.work, {ActionKind::set_layout, "hf"});
    apply(driver.app.work, {ActionKind::set_tp, {}, 16});
    const auto refused = problems(driver.work());
    REQUIRE_FALSE(refused.empty());
    CHECK(refused.front().code == "kv_heads_not_divisible");
    CHECK(refused.front().remedy == "use TP 8");
}

TEST_CASE("explorer: a plan over memory names the smallest degree that fits") {
    Driver driver;
    driver.open_70b();
    driver.key(Key::digit1);
    const auto found = problems(driver.work());
    REQUIRE_FALSE(found.empty());
    CHECK(found.front().code == "does_not_fit");
    CHECK(found.front().remedy == "use TP 2");
    const auto& memory = driver.app.view.figures.at("memory").list;
    CHECK(std::ranges::any_of(memory.shapes, [](const Shape& shape) {
        return shape.text.ends_with(" over") && shape.fill.role == Role::error;
    }));
}

TEST_CASE("explorer: widgets lie in their panels and do not overlap, in every state and size") {
    const auto inside = [](const gui::Item& item, const gui::Item& panel) {
        return item.low.x >= panel.low.x - 1 && item.high.x <= panel.high.x + 1;
    };
    for (const auto& [width, height, scale] :
         {std::tuple{1024.0f, 700.0f, 1.0f}, std::tuple{1600.0f, 1000.0f, 1.0f},
          std::tuple{2048.0f, 1400.0f, 2.0f}, std::tuple{3200.0f, 2000.0f, 2.0f}}) {
        Driver driver(width, height, scale);
        const auto check = [&](const char* state) {
            driver.frames(3);
            INFO(state << " at " << width << "x" << height << ", scale " << scale);
            std::vector<std::pair<std::string, gui::Item>> widgets;
            for (const auto& [name, item] : driver.app.items) {
                // Rows of the table scroll; shapes lie over others but within the width.
                if (name.find(':') != std::string::npos) {
                    INFO(name);
                    CHECK(item.high.x <= width + 1);
                }
                const auto group = name.substr(0, name.find('.'));
                for (const auto* kind : {"tp", "best", "run", "pin", "activations", "heads", "file",
                                         "centre", "chart", "strip", "layer", "model", "phase",
                                         "batch", "length", "dtype", "hardware", "link", "layout"})
                    if (group == kind && name.find(':') == std::string::npos)
                        widgets.emplace_back(name, item);
            }
            for (std::size_t i = 0; i < widgets.size(); ++i) {
                const auto& [name, a] = widgets[i];
                INFO(name);
                bool held = false;
                for (const auto& [panel, area] : driver.app.items)
                    held = held || (panel.starts_with("panel.") && inside(a, area));
                CHECK(held);
                for (std::size_t j = 0; j < i; ++j) {
                    const auto& b = widgets[j].second;
                    INFO("and " << widgets[j].first);
                    CHECK((a.low.x >= b.high.x || b.low.x >= a.high.x || a.low.y >= b.high.y ||
                           b.low.y >= a.high.y));
                }
            }
            // The answer is never cut off.
            if (!driver.work().study) return;
            const auto &answer = driver.app.items.at("answer"),
                       &panel = driver.app.items.at("panel.answer");
            CHECK(answer.high.y <= panel.high.y);
            CHECK(answer.high.x <= panel.high.x);
        };
        check("empty");
        driver.open_70b();
        check("open");
        apply(driver.app.work, {ActionKind::set_tp, {}, 1});
        check("over memory");
        apply(driver.app.work, {ActionKind::set_nodes, {}, 2});
        apply(driver.app.work, {ActionKind::set_tp, {}, 16});
        check("two nodes");
        apply(driver.app.work, {ActionKind::set_layout, "hf"});
        apply(driver.app.work, {ActionKind::set_tp, {}, 3});
        check("does not work");
        apply(driver.app.work, {ActionKind::open, "no-such-model"});
        check("invalid input");
        driver.app.view.strip = "run";
        driver.app.work.run = RunState::failed;
        driver.app.work.run_what = "tplan: rank 1: step o_proj: died";
        check("a failed run");
    }
}

TEST_CASE("explorer: a plan that is saved and opened again is the same") {
    TempDir folder;
    Driver driver;
    driver.open_70b();
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
    CHECK(other.study().lowered->program->tensors == driver.study().lowered->program->tensors);
    for (const auto& figure : figures()) {
        INFO(figure.name);
        // The plan knows its model by the same name, so that titles agree as well.
        CHECK(figure.draw(other.study(), {}, standard_metrics()) ==
              figure.draw(driver.study(), {}, standard_metrics()));
    }
}

TEST_CASE("explorer: a click on a heading sorts the steps, a second one the other way") {
    Driver driver;
    driver.open_70b();
    const auto above = [&](const char* a, const char* b) {
        return driver.app.items.at(std::string("row.") + a).low.y <
               driver.app.items.at(std::string("row.") + b).low.y;
    };
    CHECK(above("self_attn.qkv_proj", "mlp.down_proj"));  // as they run
    driver.click("steps.head.step");
    CHECK(above("embed_tokens", "lm_head"));
    CHECK(above("mlp.down_proj", "self_attn.qkv_proj"));
    driver.click("steps.head.step");
    CHECK(above("self_attn.qkv_proj", "mlp.down_proj"));
    CHECK(above("lm_head", "embed_tokens"));
    CHECK(driver.has("row.sum"));
}

TEST_CASE("explorer: bad input leaves the last result and says what is wrong") {
    Driver driver;
    driver.open_70b();
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
    driver.open_70b();
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
    driver.open_70b();
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
