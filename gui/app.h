#pragma once
#include <imgui.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/figures/figure.h"
#include "app/figures/theme.h"
#include "app/pane_tabs.h"
#include "app/workspace.h"
#include "gui/fonts.h"

/// What the window is made of. Panels are functions of an Ui: they read the workspace, keep nothing
/// but the view, and ask for changes through actions, applied once a frame by frame().

namespace tplan::gui {

/// A figure as it was last drawn; laid out again when what it shows changes.
struct DrawnFigure {
    std::shared_ptr<const Study> study;
    double width = 0, height = 0;
    int layer = 0, isolate = -1;
    bool activations = true, heads = false;
    DisplayList list;
    std::vector<std::string> steps;  // that each shape stands for; empty = none
};

/// How the window looks, not what it shows: none of it can be undone.
struct View {
    Theme theme = Theme::dark;
    float scale = 1;    // set by a person
    float monitor = 1;  // what the screen asks for; both multiply
    bool built_in_font = false;
    bool still = false;  // no blinking, no animation: for pictures

    int layer = 0;
    bool activations = true, heads = false;
    int isolate = -1;
    float zoom = 1;        // of the shard map
    std::string selected;  // a step, by name; empty = none
    // What the panes show. Where there is room for fewer panes, those in front are drawn.
    std::string centre{first_tab(Pane::centre)}, chart{first_tab(Pane::chart)},
        strip{first_tab(Pane::strip)};
    Pane front = Pane::centre;  // of all
    Pane below = Pane::strip;   // of those below the centre
    bool scroll_to_selected = false;
    bool details = true;

    bool palette = false, sheet = false, focus_palette = false;
    std::string palette_text, filter;
    int palette_row = 0;
    std::string asking;  // "open", "save", "report": a path is being typed
    std::string path;
    std::string editing;  // the number field being changed, for undo
    std::string focus;    // the field that is to have the keyboard
    std::vector<std::string> recent;

    std::map<std::string, DrawnFigure> figures;
    std::shared_ptr<const ModelConfig> shown;  // the layer was chosen for this model
};

/// Where a widget lies: tests find it by name instead of by coordinates.
struct Item {
    ImVec2 low, high;
};

struct App {
    Workspace work;
    View view;
    Fonts fonts;
    std::vector<Action> actions;
    std::map<std::string, Item, std::less<>> items;  // of the last frame
    std::string tooltip;                             // likewise; empty = none was shown
    bool quit = false;
    std::chrono::milliseconds patience{50};  // with an action, before the window goes on
    float fonts_scale = 0;                   // they were loaded for
    int frames = 0;
};

/// What a panel gets.
struct Ui {
    const Workspace& work;
    View& view;
    const Fonts& fonts;
    std::vector<Action>& actions;
    std::map<std::string, Item, std::less<>>& items;
    std::string& tooltip;
    bool& quit;
    float em = 15;

    void act(ActionKind kind, std::string text = {}, std::int64_t number = 0) const {
        actions.push_back({kind, std::move(text), number});
    }
};

/// Sets up the ImGui context, which must exist, and loads the fonts.
void prepare(App& app);

/// Whether the scale has changed since the fonts were loaded: prepare() again, before a new frame.
bool needs_fonts(const App& app);

/// Builds one frame between ImGui::NewFrame() and Render(), then applies what was asked for. True
/// when another frame should follow at once.
bool frame(App& app);

}  // namespace tplan::gui
