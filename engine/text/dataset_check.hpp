// What can be said against data before any of it is read.
#pragma once

#include <string>

namespace moescope::engine {

/// Throws what load_dataset would throw for its arguments alone: data that do not exist, and, where it would have to
/// train a tokenizer, a vocabulary that none can have. Reads nothing.
void check_dataset(const std::string& data, int vocabulary, bool has_tokenizer);

/// The built-in corpus, or a file or folder that exists.
bool data_exist(const std::string& data);
/// Throws Error when `data` is neither the built-in corpus nor a file or folder that exists.
void check_exists(const std::string& data);
/// As a session names them, for who goes on from another folder: the built-in corpus by its name, else the whole path.
std::string whole_path_of_data(const std::string& data);
/// Throws Error when Tokenizer::train cannot make a tokenizer of so many pieces, whatever the text is.
void check_vocabulary(int vocabulary);

}  // namespace moescope::engine
