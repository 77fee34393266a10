//! The rule over a list of records, by the component model. It reads their JSON.

wit_bindgen::generate!({ path: "wit", world: "scorer" });

struct Records;

impl Guest for Records {
    fn score(messages: Vec<Message>) -> Result<Vec<f64>, String> {
        messages.iter().map(|message| peers_rule::output_of_message(&message.payload)).collect()
    }
}

export!(Records);
