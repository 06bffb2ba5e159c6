// Code points of the icon font that is merged into every text font: icons are written inside texts.
#pragma once

namespace moescope::ui::icon {

inline constexpr const char* play = "\uf04b";
inline constexpr const char* pause = "\uf04c";
inline constexpr const char* stop = "\uf04d";
inline constexpr const char* step = "\uf051";
inline constexpr const char* save = "\uf0c7";
inline constexpr const char* copy = "\uf0c5";
inline constexpr const char* check = "\uf00c";
inline constexpr const char* cross = "\uf00d";
inline constexpr const char* warning = "\uf071";
inline constexpr const char* error = "\uf06a";
inline constexpr const char* info = "\uf05a";
inline constexpr const char* question = "\uf059";
inline constexpr const char* folder = "\uf07c";
inline constexpr const char* file = "\uf15b";
inline constexpr const char* plus = "\u002b";
inline constexpr const char* search = "\uf002";
inline constexpr const char* gear = "\uf013";
inline constexpr const char* book = "\uf02d";
inline constexpr const char* language = "\uf1ab";
inline constexpr const char* server = "\uf233";
inline constexpr const char* chip = "\uf2db";
inline constexpr const char* chart = "\uf201";
inline constexpr const char* table = "\uf0ce";
inline constexpr const char* list = "\uf03a";
inline constexpr const char* clock = "\uf017";
inline constexpr const char* download = "\uf019";
inline constexpr const char* refresh = "\uf021";
inline constexpr const char* undo = "\uf2ea";
inline constexpr const char* trash = "\uf1f8";
inline constexpr const char* expand = "\uf065";
inline constexpr const char* pin = "\uf08d";
inline constexpr const char* flask = "\uf0c3";
inline constexpr const char* scales = "\uf24e";
inline constexpr const char* eye = "\uf06e";
inline constexpr const char* branch = "\uf126";
inline constexpr const char* circle = "\uf111";
inline constexpr const char* up = "\uf062";
inline constexpr const char* opens = "\uf0d7";  ///< a menu, below
inline constexpr const char* home = "\uf015";
inline constexpr const char* new_folder = "\uf65e";
inline constexpr const char* left = "\uf060";
inline constexpr const char* right = "\uf061";
inline constexpr const char* swap = "\uf362";
inline constexpr const char* bolt = "\uf0e7";
inline constexpr const char* hourglass = "\uf254";
inline constexpr const char* user = "\uf007";
inline constexpr const char* note = "\uf249";
inline constexpr const char* network = "\uf6ff";

}  // namespace moescope::ui::icon
