import AlbefTokenizer

/// The VQA v2 accuracy of an answer against the ten that people gave.
///
/// Source: spec of the evaluation server (Goyal et al., arXiv:1612.00837): answers are normalised (punctuation, number
/// words, articles, contractions); then the mean, over the leave-one-out subsets of the given answers, of
/// `min(1, matches / 3)`.
public enum VQAAccuracy {
    /// - Parameters:
    ///   - answer: What the model said.
    ///   - given: What people said, usually ten strings with repeats. A single string counts as if all had said it.
    /// - Returns: 0…1; 0 if nobody said anything.
    public static func accuracy(of answer: String, given: [String]) -> Double {
        let said = normalized(answer)
        let truth = given.map(normalized)
        guard truth.count > 1 else { return truth.first == said ? 1 : 0 }
        let matches = truth.count { $0 == said }
        var sum = 0.0
        for other in truth {
            let remaining = matches - (other == said ? 1 : 0)
            sum += min(1, Double(remaining) / 3)
        }
        return sum / Double(truth.count)
    }

    /// Lower case without punctuation, articles and number words, with apostrophes put back into contractions.
    public static func normalized(_ answer: String) -> String {
        let flat = String(String.UnicodeScalarView(answer.unicodeScalars.map { $0 == "\n" || $0 == "\t" ? " " : $0 }))
        let words = stripPunctuation(TextNormalization.lowercased(flat)).split(separator: " ").map(String.init)
        return words.compactMap { word in
            if articles.contains(word) { return nil }
            return numbers[word] ?? contractions[word] ?? word
        }.joined(separator: " ")
    }

    /// Punctuation beside a space, or any in a text with a thousands separator, vanishes; elsewhere it becomes a space.
    /// A full stop stays only before a digit.
    private static func stripPunctuation(_ text: String) -> String {
        let input = Array(text.unicodeScalars)
        let hasSeparator = input.indices.dropFirst().dropLast().contains {
            input[$0] == "," && isDigit(input[$0 - 1]) && isDigit(input[$0 + 1])
        }
        var vanishing: Set<Unicode.Scalar> = []
        for index in input.indices where punctuation.contains(input[index]) {
            let before = index > 0 && input[index - 1] == " "
            let after = index + 1 < input.count && input[index + 1] == " "
            if before || after || hasSeparator { vanishing.insert(input[index]) }
        }
        var output = String.UnicodeScalarView()
        for index in input.indices {
            let scalar = input[index]
            if punctuation.contains(scalar) {
                if !vanishing.contains(scalar) { output.append(" ") }
            } else if scalar != "." || (index + 1 < input.count && isDigit(input[index + 1])) {
                output.append(scalar)
            }
        }
        return String(output)
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static let punctuation = Set(";/[]\"{}()=+\\_-><@`,?!".unicodeScalars)
    private static let articles: Set<String> = ["a", "an", "the"]
    private static let numbers = [
        "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
        "eight": "8", "nine": "9", "ten": "10",
    ]

    /// Words that lack one apostrophe of theirs, with the word: "dont", "hadnt've", "hadn'tve". As in the official table, "lets"
    /// stays, and so does "im": only lower-cased words are looked up, and the official keys for "I" are not lower case.
    private static let contractions: [String: String] = {
        let whole = """
            ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've \
            he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't \
            not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll \
            somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd \
            there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll \
            what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's \
            won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
            """
        // The one entry of the official table that takes an apostrophe away.
        var table = ["somebody'd": "somebodyd"]
        for word in whole.split(separator: " ") {
            for place in word.indices where word[place] == "'" {
                table[String(word[..<place] + word[word.index(after: place)...])] = String(word)
            }
        }
        return table
    }()
}
