#include "engine/exchange/imported_model.hpp"

#include <set>

#include "base/text.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

std::string shown_shape(const std::vector<std::uint64_t>& shape) {
    return "[" + base::joined(shape) + "]";
}

}  // namespace

void check_tensors(const std::vector<FileTensor>& wanted, const std::map<std::string, StoredTensor>& stored,
                   const std::function<bool(const std::string&)>& left_out, const std::string& source) {
    std::set<std::string> names;
    for (const FileTensor& tensor : wanted) {
        names.insert(tensor.name);
        const auto found = stored.find(tensor.name);
        if (found == stored.end()) {
            throw Error(say("{}: tensor \"{}\" is missing; the weights do not belong to this configuration", source,
                            tensor.name));
        }
        if (found->second.shape != tensor.shape) {
            throw Error(say("{}: tensor \"{}\" has the shape {}, but the configuration needs {}", source, tensor.name,
                            shown_shape(found->second.shape), shown_shape(tensor.shape)));
        }
        if (!found->second.readable) {
            throw Error(
                say("{}: tensor \"{}\" is {}, a quantised or integer type; get the model with F32, F16 or BF16 weights",
                    source, tensor.name, found->second.dtype));
        }
    }
    for (const auto& [name, tensor] : stored) {
        if (!names.contains(name) && !left_out(name)) {
            throw Error(
                say("{}: tensor \"{}\" has no place in the model that the configuration describes; without it the "
                    "model would compute something else",
                    source, name));
        }
    }
}

void read_parameters(ImportedModel& model, const std::vector<FileTensor>& tensors,
                     const std::function<void(const FileTensor&, std::span<float>)>& read) {
    model.memory = Block(checked_product(model.layout.floats, sizeof(float), marked("the parameters")));
    model.parameters = reinterpret_cast<float*>(model.memory.data());
    std::vector<float> values;
    for (const FileTensor& tensor : tensors) {
        if (tensor.contiguous()) {
            read(tensor, {model.parameters + tensor.offset, tensor.count()});
            continue;
        }
        values.resize(tensor.count());
        read(tensor, values);
        scatter(model.parameters, values, tensor);
    }
}

void take_tokenizer(ImportedModel& model, std::string bytes) {
    try {
        auto tokenizer = Tokenizer::from_bytes(std::move(bytes));
        if (tokenizer->size() <= model.model.vocabulary) {
            model.text.begin = model.text.ends.emplace_back(tokenizer->end_token());  // as Moescope trains
            model.tokenizer = std::move(tokenizer);
            return;
        }
        leave_out_tokenizer(model, say("its tokenizer has {} pieces, more than the model's vocabulary of {}",
                                       tokenizer->size(), model.model.vocabulary));
    } catch (const Error& error) {
        leave_out_tokenizer(model, say("its tokenizer cannot be used: {}", error));
    }
}

void leave_out_tokenizer(ImportedModel& model, const Sentence& why) {
    model.no_tokenizer = why;
    model.notes.push_back(say("The model reads and writes token ids only: {}", why));
}

}  // namespace moescope::engine
