// Pictures of the software painter that no price changes, byte for byte.
#include "app/figures/shard_map.h"
#include "gui/painter.h"
#include "gui/png.h"
#include "gui/screenshot.h"
#include "gui/software.h"
#include "tests/gui/driver.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"
#include "tests/support/skip.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("gui: the window with nothing open is byte-equal to the reviewed picture") {
    if (const std::string version = ImGui::GetVersion(); version != "1.86")
        return skip(("the pictures are of Dear ImGui 1.86, this is " + version).c_str());
    for (const auto theme : {Theme::dark, Theme::light, Theme::high_contrast}) {
        gui::App app;
        app.work = make_workspace();
        app.view.built_in_font = app.view.still = true;
        app.view.theme = theme;
        const auto picture = gui::software_screenshot(app, 1024, 700, 4);
        check_golden(fmt::format("gui/welcome-{}.png", name_of(theme)), gui::png_bytes(picture));
    }
}

TEST_CASE("gui: the painted shard map is byte-equal to the reviewed picture") {
    // Of a degree that does not work: it has no prices.
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 3);
    Driver driver(1024, 900);
    FigureOptions options;
    options.width = 66;
    const auto list = shard_map(study, options, standard_metrics());
    ImGui::NewFrame();
    ImGui::SetNextWindowPos({0, 0});
    ImGui::SetNextWindowSize({1024, 900});
    ImGui::Begin("figure", nullptr, ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoBackground);
    gui::paint(*ImGui::GetWindowDrawList(), list,
               {{8, 8}, driver.app.fonts.em, Theme::light, &driver.app.fonts, {}});
    ImGui::End();
    ImGui::Render();
    const auto picture =
        gui::render(*ImGui::GetDrawData(), colour_of(Theme::light, {Role::background}));
    check_golden("gui/shard-map-tp3.png", gui::png_bytes(picture));
}
